"""Errors of predicted numbers over devices, with the intervals of `judging.summary`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from components.training.judging.device import OnDevice
from components.training.judging.summary import Drawn, Measure, draws_of, measures, ratio
from components.training.numbers import CYCLES, phm08

NUMBER_METRICS = ("rmse", "mae", "last_rmse", "last_phm08")


def summarise_numbers(devices: Sequence[OnDevice], units: Mapping[str, str], seed: int) -> dict[str, Measure]:
    """`<task>/<one of NUMBER_METRICS>` of each regression, as `training.numbers` defines them; absent where none is known.

    ``units``: regression task -> its unit.
    """
    return measures(drawn_numbers(devices, units, seed))


def drawn_numbers(devices: Sequence[OnDevice], units: Mapping[str, str], seed: int) -> dict[str, Drawn]:
    """What `summarise_numbers` is measured from, in the draws of `judging.summary.drawn`."""
    draws = draws_of(len(devices), seed)
    found: dict[str, Drawn] = {}
    for task, unit in units.items():
        errors = [d.errors.get(task, np.zeros(0)) for d in devices]
        count = np.asarray([float(len(e)) for e in errors])
        squares, sizes = (np.asarray([f(e).sum() for e in errors]) for f in (np.square, np.abs))
        has = (count > 0).astype(float)
        last = np.asarray([e[-1] if len(e) else 0.0 for e in errors])
        found[f"{task}/rmse"] = Drawn(np.sqrt(ratio(draws, squares, count)), count)
        found[f"{task}/mae"] = Drawn(ratio(draws, sizes, count), count)
        found[f"{task}/last_rmse"] = Drawn(np.sqrt(ratio(draws, last**2, has)), has)
        if unit == CYCLES and has.any():
            scores = np.asarray([phm08(last[i : i + 1]) for i in range(len(devices))]) * has
            found[f"{task}/last_phm08"] = Drawn(draws @ scores, has)
    return found
