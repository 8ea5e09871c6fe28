"""Where the windows of a device lie on its sampling steps, and for which of them each window's score speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Placed:
    """Windows of one device on its sampling steps, counted from the start of the first window at ``begin`` (s since 1970).

    ``first``, ``last``: (windows,) first step and step past the last of each. ``speaks``: (windows, 2) the same of the steps
    that its score speaks for. ``steps``: from the first window to the last.
    """

    begin: float
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    speaks: NDArray[np.int64]
    steps: int

    def mean(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """(steps,) mean score of the windows that speak for each step; steps that no window covers take the lowest score."""
        total, count = self._running(np.asarray(scores, float)), self._running(np.ones(len(self.first)))
        return np.asarray(np.where(count > 0.5, total / np.maximum(count, 1), np.min(scores)))

    def covered(self, windows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(steps,) whether one of the windows that are true in ``windows`` speaks for the step; with all of them, every
        step that a window covers.
        """
        return np.asarray(self._running(windows.astype(float)) > 0.5)

    def _running(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(steps,) sum of the weights of the windows that speak for each step."""
        change = np.zeros(self.steps + 1)
        np.add.at(change, self.speaks[:, 0], weights)
        np.add.at(change, self.speaks[:, 1], -weights)
        return np.asarray(np.cumsum(change)[:-1])


def placed(index: pd.DataFrame, interval_s: float, core: tuple[int, int]) -> Placed:
    """``index``: windows of one device in time order, as in `Windows.index`. ``core``: the steps of each that it speaks for.

    Where no other window speaks, before the first and after the last of a run too, a window speaks for all that it has.
    """
    start, end = seconds(index["start"]), seconds(index["end"])
    begin = float(start.min())
    first, last = (np.rint((times - begin) / interval_s).astype(np.int64) for times in (start, end))
    return Placed(begin, first, last, _speaks(first, last, core), int(last.max()))


def _speaks(first: NDArray[np.int64], last: NDArray[np.int64], core: tuple[int, int]) -> NDArray[np.int64]:
    begins, ends = first + core[0], first + core[1]
    before, after = np.append(-1, ends[:-1]), np.append(begins[1:], last[-1])
    begins = np.where(before < begins, np.maximum(first, before), begins)
    return np.stack([begins, np.where(after > ends, np.minimum(last, after), ends)], axis=1)


def step_truth(place: Placed, segments: pd.DataFrame, interval_s: float) -> NDArray[np.int8]:
    """(steps,) whether each sampling step between a device's first and last window is inside a segment."""
    times = place.begin + np.arange(place.steps) * interval_s
    inside = np.zeros(place.steps, np.int8)
    for first, last in zip(seconds(segments["start"]), seconds(segments["end"]), strict=True):
        inside[np.searchsorted(times, first) : np.searchsorted(times, last)] = 1
    return inside


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First position and position past the last of every unbroken run of true values."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))


def seconds(times: pd.Series[Any]) -> NDArray[np.float64]:
    """UTC times -> seconds since 1970."""
    return times.dt.as_unit("ns").astype("int64").to_numpy() / 1e9
