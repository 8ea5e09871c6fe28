"""What devices measure of what they run, and say with "installed" and "running"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from components.workspace.section import Section
from registry.rollout.evidence import ABSENT, METRICS

_MOST = np.array([1000 if name == "anomaly_milli" else np.inf for name in METRICS])
"""(readings,) what a report can hold at most."""


class Readings(Section):
    """The middle of a group; null: they do not say. ``spread``: how far a device lies off it at most, as a share of it."""

    latency_us: int | None = Field(900, ge=0)
    drift_milli: int | None = Field(20, ge=0)
    anomaly_milli: int | None = Field(5, ge=0, le=1000)
    errors: int = Field(0, ge=0)
    spread: float = Field(0.1, ge=0, le=1)

    def over(self, others: Readings) -> Readings:
        """These where they were given, the ``others`` elsewhere."""
        return others.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


def draw(readings: Sequence[Readings], group: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(devices, readings) in the order of METRICS, ABSENT where a device does not say.

    ``group``: (devices,) places in ``readings``. A device keeps its readings: what differs is one device from another.
    """
    said = [[getattr(r, name) for name in METRICS] for r in readings]
    middle = np.array([[ABSENT if v is None else v for v in row] for row in said], float)[group]
    off = np.array([r.spread for r in readings])[group, None] * rng.uniform(-1, 1, middle.shape)
    drawn = np.minimum(np.rint(middle * (1 + off)), _MOST)
    return np.where(middle == ABSENT, ABSENT, drawn).astype(np.int64)
