"""How much of a figure is luck of the seed: metrics with intervals over devices and seeds together.

Devices and seeds are crossed: every seed's model is judged on the same held-out devices. So both are drawn with replacement
in every draw, the drawn devices are those of all drawn seeds and of all methods, and the metric of a draw is its mean over the
drawn seeds (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from components.training.judging.summary import Drawn, Floats, drawn, lead, measure
from components.training.judging.summary_numbers import drawn_numbers
from components.training.study.seed import MethodOutcome, SeedOutcome
from components.values.curves import Point


@dataclass(frozen=True)
class OverSeeds:
    """A metric: ``mean`` over the seeds that say something, ``deviation`` the sample's, None for one of them.

    ``low``, ``high``: bounds of the 95 % interval over devices and seeds together, None with fewer than two ``devices`` that
    say something. ``of_seeds``: the metric of each seed, None where nothing can be said.
    """

    mean: float
    deviation: float | None
    low: float | None
    high: float | None
    devices: int
    of_seeds: tuple[float | None, ...]


@dataclass(frozen=True)
class MethodOverSeeds:
    """``lead``: the model's VUS-PR less this method's; None for the model, and where nothing can be said."""

    name: str
    metrics: dict[str, OverSeeds]
    lead: OverSeeds | None


@dataclass(frozen=True)
class Seeds:
    """``methods``: the model first. ``devices``: those held out. ``curves``: the losses on the way, a training a seed."""

    name: str
    seeds: tuple[int, ...]
    devices: int
    methods: tuple[MethodOverSeeds, ...]
    curves: tuple[tuple[Point, ...], ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Without the curves."""
        return {
            "name": self.name,
            "seeds": list(self.seeds),
            "devices": self.devices,
            "notes": list(self.notes),
            "methods": [
                {
                    "method": m.name,
                    "metrics": {name: asdict(metric) for name, metric in m.metrics.items()},
                    "model_leads_vus_pr_by": m.lead and asdict(m.lead),
                }
                for m in self.methods
            ],
        }


def over_seeds(name: str, outcomes: Sequence[SeedOutcome], seed: int) -> Seeds:
    """What ``outcomes`` of the same methods on the same devices say together; ``seed``: of the draws."""
    first = outcomes[0]
    models = [outcome.methods[0] for outcome in outcomes]
    methods = []
    for place, method in enumerate(first.methods):
        mine = [outcome.methods[place] for outcome in outcomes]
        parts = [_drawn(m, first.units, seed) for m in mine]
        found = {metric: both([part[metric] for part in parts], seed) for metric in parts[0]}
        ahead = None
        if place and method.anomaly:
            ahead = both([lead(a.devices, b.devices, seed) for a, b in zip(models, mine, strict=True)], seed)
        methods.append(MethodOverSeeds(method.name, {k: v for k, v in found.items() if v is not None}, ahead))
    return Seeds(
        name,
        tuple(outcome.seed for outcome in outcomes),
        len(first.methods[0].devices),
        tuple(methods),
        tuple(outcome.curves for outcome in outcomes),
        tuple(dict.fromkeys(note for outcome in outcomes for note in outcome.notes)),
    )


def both(parts: Sequence[Drawn], seed: int) -> OverSeeds | None:
    """One metric of every seed, in the same draws of devices -> over devices and seeds; None where no seed says anything."""
    values = np.stack([part.values for part in parts])
    found = measure(Drawn(two_way(values, seed), np.max([part.says for part in parts], axis=0)))
    if found is None:
        return None
    known = values[:, 0][~np.isnan(values[:, 0])]
    deviation = float(known.std(ddof=1)) if len(known) > 1 else None
    of_seeds = tuple(None if np.isnan(value) else float(value) for value in values[:, 0])
    return OverSeeds(found.value, deviation, found.low, found.high, found.devices, of_seeds)


def two_way(values: Floats, seed: int) -> Floats:
    """(seeds, draws of devices) a metric -> (draws,) its mean over the seeds that each draw holds, over every seed once first.

    NaN where none of the seeds in a draw says anything. One seed is in every draw, so its metric comes back as it is.
    """
    count, draws = values.shape
    random = np.random.default_rng([seed, 1])  # apart from the draws of devices
    held = random.multinomial(count, np.full(count, 1 / count), size=draws - 1)
    weight = np.concatenate([np.ones((1, count)), held]).T * ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray((weight * np.nan_to_num(values)).sum(axis=0) / weight.sum(axis=0))


def _drawn(method: MethodOutcome, units: Mapping[str, str], seed: int) -> dict[str, Drawn]:
    return drawn(method.devices, method.anomaly, method.anomaly, seed) | drawn_numbers(method.devices, units, seed)
