"""A fleet of two types of pump: pressure rises with the flow on one and falls with it on the other, and a fault turns it round.

What is a fault on one type is normal on the other, so no window says by itself whether it is one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.training.train import train
from components.values import ElectraModel, LabelSet, Windows
from components.workspace import Workspace
from tests.quantization import plant
from tests.training import quick

RISING, FALLING = "pump-rising", "pump-falling"
DEVICES, PER_DEVICE, STEPS = 12, 120, 16
FAULT = plant.CLASSES.index("leak")


def windows() -> tuple[Windows, NDArray[np.bool_]]:
    """Windows of devices that are of both types in turn, the last third held out, and which of them are faulty."""
    random = np.random.default_rng(3)
    data = plant.windows(DEVICES, PER_DEVICE, STEPS)
    falling = np.repeat(np.arange(DEVICES) % 2 == 1, PER_DEVICE)
    faulty = random.random(len(data)) < 0.25
    load = 40 * np.sin(np.arange(STEPS) / 2.5 + random.uniform(0, 6.28, (len(data), 1)))
    codes = random.normal(0, 6, data.codes.shape)
    codes[:, :, 0] += load
    codes[:, :, 1] += np.where(falling ^ faulty, -1, 1)[:, None] * load
    index = data.index.assign(hardware_profile=np.where(falling, FALLING, RISING))
    return replace(data, codes=np.clip(np.rint(codes), -127, 127).astype(np.int8), index=index), faulty


def labels(faulty: NDArray[np.bool_]) -> LabelSet:
    """Weak labels that are right."""
    classes = len(plant.CLASSES)
    return LabelSet(
        task="fault",
        classes=plant.CLASSES,
        functions=("a",),
        votes=np.zeros((len(faulty), 1), np.int8),
        probabilities=np.eye(classes, dtype=np.float32)[np.where(faulty, FAULT, 0)],
        covered=np.ones(len(faulty), bool),
        gold=np.full(len(faulty), -1, np.int8),
        sampled=np.zeros(len(faulty), bool),
        decision_weights=(1.0,) * classes,
        source="weak",
        facts={"version": "0" * 64, "chosen": "blend"},
    )


def workspace(root: Path, *, device_types: bool, **model: object) -> Workspace:
    """Anomalies and fault classes, and a network that learns them in seconds."""
    settings = {"pretrain_steps": 100, "finetune_steps": 100, "width": 16, "blocks": 2, "device_types": device_types}
    made = quick.quick_workspace(root, **settings | model)
    return replace(made, settings=made.settings.model_copy(update={"tasks": made.settings.tasks[:2]}))


def trained(root: Path, data: Windows, faulty: NDArray[np.bool_], *, device_types: bool, **model: object) -> ElectraModel:
    made = workspace(root, device_types=device_types, **model)
    network = train(made, data, [labels(faulty)], quick.statistics_of(data))
    assert isinstance(network, ElectraModel)
    return network
