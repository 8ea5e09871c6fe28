"""How long single windows take, several networks measured side by side so that all meet the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROUNDS, _WARM_UP = 100, 5


def paces(engines: Sequence[Callable[[NDArray[Any]], object]], codes: NDArray[Any]) -> list[float]:
    """Least milliseconds of one of ``codes`` (windows, ...) on each engine, by turns: what else the machine does adds to it."""
    took = np.empty((len(engines), _ROUNDS + _WARM_UP))
    for turn in range(_ROUNDS + _WARM_UP):
        window = codes[turn % len(codes)][None]
        for number, engine in enumerate(engines):
            start = time.perf_counter_ns()
            engine(window)
            took[number, turn] = time.perf_counter_ns() - start
    return [float(ms) for ms in took[:, _WARM_UP:].min(axis=1) / 1e6]
