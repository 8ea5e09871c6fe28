"""What comes of judging a model: the values that a table, a page or a program reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.training.judging.detector import Detector, Said
from components.training.judging.device import DeviceTruth, OnDevice
from components.training.judging.summary import ClassMeasure, Measure
from components.values import Windows


@dataclass(frozen=True)
class Judged:
    """A method with its metrics over all devices and on each; ``lead``: the model's VUS-PR less this method's."""

    name: str
    threshold: float | None
    metrics: dict[str, Measure]
    lead: Measure | None
    devices: tuple[OnDevice, ...]


@dataclass(frozen=True)
class TaskClasses:
    """The model's classes of one task: measures of each, and (classes, classes) windows with true classes down."""

    task: str
    classes: tuple[ClassMeasure, ...]
    confusion: NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """Everything that a page, a table or a program wants to know; ``methods`` has the model first.

    ``windows``, ``said``, ``truths``: what was judged, for drawings. ``profiles``: hardware profile -> the model's metrics.
    """

    detector: Detector
    interval_s: float
    buffer_steps: int
    seed: int
    methods: tuple[Judged, ...]
    tasks: tuple[TaskClasses, ...]
    profiles: dict[str, dict[str, Measure]]
    windows: Windows
    said: Said
    truths: tuple[DeviceTruth, ...]
    notes: tuple[str, ...]

    @property
    def model(self) -> Judged:
        return self.methods[0]

    def to_json(self) -> dict[str, Any]:
        """The evaluation without windows and scores; a metric that nothing can be said of is absent."""
        index = self.windows.index
        return {
            "model": {"name": self.detector.name, "kind": self.detector.kind, "threshold": self.model.threshold},
            "data": {
                "devices": len(self.truths),
                "windows": len(self.windows),
                "device_days": sum(t.days for t in self.truths),
                "events": sum(len(t.events) for t in self.truths),
                "from": index["start"].min().isoformat(),
                "to": index["end"].max().isoformat(),
            },
            "protocol": {"buffer_steps": self.buffer_steps, "interval_s": self.interval_s, "seed": self.seed},
            "notes": list(self.notes),
            "methods": [
                {
                    "method": m.name,
                    "threshold": m.threshold,
                    "metrics": {name: asdict(measure) for name, measure in m.metrics.items()},
                    "model_leads_vus_pr_by": asdict(m.lead) if m.lead else None,
                }
                for m in self.methods
            ],
            "classes": [
                {"task": t.task, "classes": [asdict(c) for c in t.classes], "confusion": t.confusion.tolist()} for t in self.tasks
            ],
            "profiles": {name: {k: asdict(m) for k, m in found.items()} for name, found in self.profiles.items()},
            "devices": [device_json(d) for d in self.model.devices],
        }


def device_json(device: OnDevice) -> dict[str, Any]:
    """The model on one device; areas are None where the device has no anomaly."""
    vus, auc = device.areas or (None, None)
    counts = {name: getattr(device, name) for name in ("windows", "days", "events", "found", "alarms", "right")}
    return {"device_id": device.device, "hardware_profile": device.profile, "vus_pr": vus, "auc_pr": auc, **counts}
