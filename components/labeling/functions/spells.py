"""Time in labelling functions: how long a condition lasts, and what follows what."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from components.features.records import Micros, Spans

Bools = NDArray[np.bool_]

Times = Callable[[str, int, int], Micros]
"""Of one span: the rising times, in microseconds, at which something happened."""


def lasting(condition: Bools, spans: Spans, starts: Micros, ends: Micros, least_us: int, stride_us: int) -> Bools:
    """Where ``condition`` holds in a run of windows, one every ``stride_us``, that spans ``least_us`` from start to end."""
    if not condition.any():
        return np.zeros(len(condition), bool)
    held = np.flatnonzero(condition)
    begins = np.zeros(len(condition), bool)
    begins[[first for _, first, _ in spans]] = True
    begins[1:] |= starts[1:] - starts[:-1] > stride_us
    new = begins[held] | np.append(True, np.diff(held) > 1)
    run = np.cumsum(new) - 1
    first = held[new]
    last = held[np.append(new[1:], True)]
    long = ends[last] - starts[first] >= least_us
    result = np.zeros(len(condition), bool)
    result[held] = long[run]
    return result


def longest_run(condition: Bools) -> NDArray[np.int64]:
    """(windows, steps) -> (windows,) length of the longest run of true steps."""
    run = longest = np.zeros(len(condition), np.int64)
    for step in range(condition.shape[1]):
        run = (run + 1) * condition[:, step]
        longest = np.maximum(longest, run)
    return longest


def follows(first: Times, then: Times | Bools, spans: Spans, starts: Micros, ends: Micros, within_us: int) -> Bools:
    """(windows,) in which ``then`` happens with ``first`` before it, and at most ``within_us`` before it.

    ``then`` is a condition on windows, which happens when its window ends, or has times of its own, which count in the
    window that holds them (end exclusive). What happens at the same moment does not follow.
    """
    found = np.zeros(len(starts), bool)
    for span in spans:
        mine = slice(*span[1:])
        causes = first(*span)
        if not len(causes):
            continue
        if not callable(then):
            found[mine] = then[mine] & _caused(causes, ends[mine], within_us)
            continue
        effects = then(*span)
        caused = effects[_caused(causes, effects, within_us)]
        found[mine] = np.searchsorted(caused, ends[mine], side="left") > np.searchsorted(caused, starts[mine], side="left")
    return found


def _caused(causes: Micros, effects: Micros, within_us: int) -> Bools:
    last = np.searchsorted(causes, effects, side="left") - 1
    return np.asarray((last >= 0) & (effects - causes[np.maximum(last, 0)] <= within_us))
