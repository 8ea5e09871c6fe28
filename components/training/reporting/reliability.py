"""Stated against achieved: the share of false alarms that a threshold promises, and how often a sure class is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.training.judging.summary import Measure, share

STATED = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Shares of normal windows that a threshold may be asked to accept."""
BINS = 10
_LEAST_TAIL = 5
"""Calibration windows beyond a threshold, for it to be a quantile rather than a guess."""


@dataclass(frozen=True)
class Rate:
    """``stated``: share of calibration windows at or above ``threshold``; ``achieved``: of held-out windows."""

    stated: float
    threshold: float
    achieved: Measure


@dataclass(frozen=True)
class Bin:
    """Windows whose most probable class has about this probability; ``right``: share of them of that class."""

    confidence: float
    right: Measure
    windows: int


@dataclass(frozen=True)
class Reliability:
    """``error``: expected calibration error, the mean distance of confidence and share right, weighted by windows
    (Guo et al., ICML 2017).
    """

    task: str
    bins: tuple[Bin, ...]
    error: float


def thresholds(calibration: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Shares of `STATED` with the threshold of each, as far as the calibration scores, (windows,), support them."""
    wanted = [s for s in STATED if s * len(calibration) >= _LEAST_TAIL]
    return [(s, float(np.quantile(calibration, 1 - s))) for s in wanted]


def achieved(stated: float, threshold: float, scores: NDArray[np.float64], devices: NDArray[np.int64], seed: int) -> Rate:
    """``scores``: (windows,) of windows that did not calibrate, at least one; ``devices``: whose they are."""
    count = np.bincount(devices).astype(float)
    hot = np.bincount(devices, scores >= threshold)
    found = share(hot, count, seed)
    assert found is not None  # noqa: S101 - there is a window
    return Rate(stated, threshold, found)


def class_reliability(
    task: str, probabilities: NDArray[np.float64], wanted: NDArray[np.int8], devices: NDArray[np.int64], seed: int
) -> Reliability:
    """``probabilities``: (windows, classes), ``wanted``: (windows,) true classes, ``devices``: whose they are."""
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == wanted
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for b in np.unique(place).tolist():
        mine = place == b
        hits = np.bincount(devices, right & mine, minlength=int(devices.max()) + 1)
        measure = share(hits, np.bincount(devices, mine, minlength=len(hits)), seed)
        assert measure is not None  # noqa: S101 - the bin has windows
        bins.append(Bin(float(sure[mine].mean()), measure, int(mine.sum())))
        error += abs(bins[-1].confidence - measure.value) * mine.mean()
    return Reliability(task, tuple(bins), float(error))
