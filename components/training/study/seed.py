"""One seed of a model: what it and every baseline did on each held-out device, kept as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from components.training.evaluation import read_truth
from components.training.judging.device import OnDevice
from components.training.judging.result import Evaluation
from components.values import Windows
from components.values.curves import Point
from components.workspace import Workspace
from components.workspace.errors import InputError


@dataclass(frozen=True)
class MethodOutcome:
    """``anomaly``: it scores anomalies and raises alarms at a threshold."""

    name: str
    anomaly: bool
    devices: tuple[OnDevice, ...]


@dataclass(frozen=True)
class SeedOutcome:
    """``methods``: the model first. ``units``: regression task -> its unit. ``curves``: the losses on the way."""

    seed: int
    methods: tuple[MethodOutcome, ...]
    units: Mapping[str, str]
    curves: tuple[Point, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "methods": [
                {"name": m.name, "anomaly": m.anomaly, "devices": [_device_to_json(d) for d in m.devices]} for m in self.methods
            ],
            "units": dict(self.units),
            "curves": [asdict(point) for point in self.curves],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SeedOutcome:
        methods = tuple(
            MethodOutcome(m["name"], m["anomaly"], tuple(_device_from_json(d) for d in m["devices"])) for m in value["methods"]
        )
        curves = tuple(Point.from_json(row) for row in value["curves"])
        return cls(value["seed"], methods, value["units"], curves, tuple(value["notes"]))


def outcome_of(seed: int, evaluation: Evaluation, curves: tuple[Point, ...]) -> SeedOutcome:
    """What is kept of a judged model: enough for every metric in every draw."""
    # whoever scores anomalies has a threshold, the model's own or a quantile of calibration scores
    methods = tuple(MethodOutcome(m.name, m.threshold is not None, m.devices) for m in evaluation.methods)
    units = {task: number.unit for task, number in evaluation.detector.numbers.items()}
    return SeedOutcome(seed, methods, units, curves, evaluation.notes)


def check_truth(workspace: Workspace) -> None:
    """Whether there is a truth to judge models of the workspace by.

    Raises:
        NotFound: the declared file is not there.
        InputError: none is declared, it cannot be read, or it says nothing of the workspace's tasks.
    """
    truth = read_truth(workspace)
    if truth is None or not truth["task"].isin([task.name for task in workspace.settings.tasks]).any():
        raise InputError(
            "no truth of any task: there is nothing to judge a seed by on what is held out",
            hint="declare evaluation.truth in muster.yaml",
        )


def check_held_out(windows: Windows) -> None:
    """Raises InputError where every window is trained on."""
    if not windows.test.any():
        raise InputError(
            "nothing is held out: there is nothing to judge a seed by",
            hint="hold out devices, groups or time with evaluation.split and evaluation.holdout in muster.yaml",
        )


def _device_to_json(device: OnDevice) -> dict[str, Any]:
    tables = {task: table.tolist() for task, table in device.confusion.items()}
    errors = {task: values.tolist() for task, values in device.errors.items()}
    return asdict(device) | {"confusion": tables, "errors": errors}


def _device_from_json(value: dict[str, Any]) -> OnDevice:
    arrays = {
        "areas": value["areas"] and tuple(value["areas"]),
        "delays": tuple(value["delays"]),
        "hits": tuple((one, more) for one, more in value["hits"]),
        "confusion": {task: np.asarray(table, np.int64) for task, table in value["confusion"].items()},
        "errors": {task: np.asarray(values, np.float64) for task, values in value["errors"].items()},
    }
    return OnDevice(**value | arrays)
