"""How far a device stands from its neighbours at the same time, in robust standard deviations of the neighbours.

For each value, median and median absolute deviation are those of the others of its group, without the value itself:
one odd device does not hide behind its own influence, however few the others are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROUPS = ("site", "hardware_profile", "fleet")
LEAST_PEERS = 3
MAD_TO_DEVIATION = 1.4826
"""1 / the 0.75 quantile of the standard normal distribution (Hampel, JASA 69, 1974)."""

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


def against_peers(column: Floats, start: Numbers, group: Numbers) -> Floats:
    """``column``, ``start``, ``group``: (windows,), one window a device and start -> (windows,) deviations from the peers.

    ``group`` counts from 0. NaN where the value is missing or fewer than `LEAST_PEERS` others of the group have one at
    that start; where the peers agree to the last bit, 0 for a value that agrees too and an infinity for one that does not.
    """
    result = np.full(len(column), np.nan)
    known = np.flatnonzero(~np.isnan(column))
    if not len(known):
        return result
    key = _ranks(start[known]) * (int(group.max()) + 1) + group[known]
    order = known[np.argsort(key, kind="stable")]
    begins = np.flatnonzero(np.append(True, np.diff(np.sort(key)) > 0))
    sizes = np.diff(np.append(begins, len(order)))
    for size in np.unique(sizes[sizes > LEAST_PEERS]):
        rows = order[begins[sizes == size][:, None] + np.arange(size)]
        result[rows] = _deviations(column[rows])
    return result


def _ranks(numbers: Numbers) -> Numbers:
    """Each number's place among the different ones."""
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def _deviations(values: Floats) -> Floats:
    """(groups, members) -> for each member its distance from the median of the others over their deviation."""
    middle = _median_of_others(values)
    spread = np.empty_like(values)
    for candidate in _candidates(values):  # the medians of others take at most three values in a group
        distances = np.abs(values - candidate)
        same = middle == candidate
        spread[same] = _median_of_others(distances)[same]
    away = values - middle
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(away == 0, 0.0, away / (MAD_TO_DEVIATION * spread)))


def _median_of_others(values: Floats) -> Floats:
    """(groups, members) -> the median of the row without each member."""
    order = np.argsort(values, axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    low, high = _candidate_places(values.shape[1])
    ordered = np.take_along_axis(values, order, axis=1)
    below = np.take_along_axis(ordered, low + (rank <= low), axis=1)
    above = np.take_along_axis(ordered, high + (rank <= high), axis=1)
    return np.asarray((below + above) / 2)


def _candidates(values: Floats) -> list[Floats]:
    """(groups, 1) each: what the median of a row without one member can be."""
    ordered = np.sort(values, axis=1)
    low, high = _candidate_places(values.shape[1])
    pairs = {(low, high), (low, high + 1), (low + 1, high + 1)}
    return [(ordered[:, [a]] + ordered[:, [b]]) / 2 for a, b in sorted(pairs)]


def _candidate_places(members: int) -> tuple[int, int]:
    """The two middle places of ``members`` - 1 sorted values."""
    return (members - 2) // 2, (members - 1) // 2
