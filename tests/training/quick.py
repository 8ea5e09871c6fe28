"""A small plant and settings that train in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from components.values import LabelSet, Windows
from components.workspace import Workspace
from tests.quantization import plant


def quick_windows() -> Windows:
    return plant.windows(devices=6, per_device=60)


def quick_workspace(root: Path, **model: object) -> Workspace:
    """The plant's workspace with a network of a few weights; ``model``: settings in place of the quick ones."""
    base = plant.workspace(root)
    quick = {"pretrain_steps": 12, "finetune_steps": 12, "width": 8, "blocks": 1, "batch": 32} | model
    return Workspace(root, base.settings.model_copy(update={"model": base.settings.model.model_copy(update=quick)}), ())


def labels_of(windows: Windows, seed: int = 1) -> LabelSet:
    """Weak labels that know nothing: random probabilities on seven tenths of the windows."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(5), len(windows)).astype(np.float32)
    covered = random.random(len(windows)) < 0.7
    return LabelSet(
        task="fault",
        classes=plant.CLASSES,
        functions=("a", "b", "c"),
        votes=np.zeros((len(windows), 3), np.int8),
        probabilities=probabilities,
        covered=covered,
        gold=np.full(len(windows), -1, np.int8),
        sampled=np.zeros(len(windows), bool),
        decision_weights=(1.0,) * len(plant.CLASSES),
        source="weak",
        facts={"version": "0" * 64, "chosen": "blend"},
    )


def statistics_of(windows: Windows) -> pd.DataFrame:
    return pd.DataFrame({"mean": np.nanmean(windows.values, axis=(1, 2))})
