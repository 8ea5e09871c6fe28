"""What people declared about the windows of one regression task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.workspace.files import write_json


@dataclass(frozen=True)
class Targets:
    """Numbers of one task, one a window in the order of `Windows`: the value at the window's last step.

    ``values``: (windows,) float32 in ``unit``, inside ``range``, NaN where nobody declared one; those windows teach nothing.
    ``facts``: how they came about, as JSON: ``version`` (their digest), ``clipped`` (windows whose value lay outside).
    """

    task: str
    unit: str
    range: tuple[float, float]
    values: NDArray[np.float32]
    facts: Mapping[str, Any]

    @property
    def covered(self) -> NDArray[np.bool_]:
        """(windows,) whether there is a value."""
        return ~np.isnan(self.values)

    @property
    def coverage(self) -> float:
        return float(self.covered.mean()) if len(self.values) else 0.0

    @property
    def scaled(self) -> NDArray[np.float32]:
        """(windows,) what a head learns: -1 at the low end of the range, 1 at the high one."""
        low, high = self.range
        return np.asarray((self.values - low) * (2 / (high - low)) - 1, np.float32)

    def save(self, folder: Path) -> None:
        """Write `<folder>/<task>/`."""
        target = folder / self.task
        target.mkdir(parents=True)
        np.save(target / "values.npy", self.values)
        about = {"task": self.task, "unit": self.unit, "range": list(self.range), "facts": dict(self.facts)}
        write_json(target / "targets.json", about)

    @classmethod
    def load(cls, folder: Path, task: str) -> Targets:
        target = folder / task
        meta = json.loads((target / "targets.json").read_text())
        low, high = meta["range"]
        return cls(meta["task"], meta["unit"], (low, high), np.load(target / "values.npy"), meta["facts"])
