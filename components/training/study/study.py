"""What the outcomes of a study say together: means and spread over seeds, and whether pre-training helped.

Outcomes of one seed share the drawn windows and the weights' draw, so methods are compared in pairs. The test is exact: under
the hypothesis that pre-training changes nothing, each seed's difference is as likely to have the other sign, and all signs
are tried (Fisher, The Design of Experiments, 1935, section 21). Differences of one seed at several numbers of labels are no
independent evidence: over these, and over tasks, a seed's mean is its one difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.training.study.trial import METHODS, PRETRAINED, SCRATCH, Outcome

MOST_SEEDS = 16
"""Signs of so many differences are tried in a moment."""


@dataclass(frozen=True)
class Spread:
    """Over seeds; ``deviation`` is the sample's standard deviation, 0 for one seed."""

    mean: float
    deviation: float
    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """Pre-training less none: ``difference`` of the means over ``pairs`` seeds, and the two-sided ``p`` of the exact test."""

    difference: float
    pairs: int
    p: float


@dataclass(frozen=True)
class Comparison:
    """``task`` '' stands for all tasks together, ``labels`` 0 for all numbers of labels."""

    task: str
    labels: int
    macro_f1: dict[str, Spread]
    pretraining: Paired


@dataclass(frozen=True)
class Study:
    name: str
    outcomes: tuple[Outcome, ...]
    comparisons: tuple[Comparison, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def conclude(name: str, outcomes: Sequence[Outcome]) -> Study:
    """One comparison a task and number of labels, one a task, and the same of all tasks together where there are several."""
    tasks = list(dict.fromkeys(o.trial.task for o in outcomes))
    counts = sorted({o.trial.labels for o in outcomes})
    found = []
    for task in [*tasks, ""] if len(tasks) > 1 else tasks:
        mine = [o for o in outcomes if task in ("", o.trial.task)]
        found += [_compared(task, k, [o for o in mine if o.trial.labels == k]) for k in counts]
        found += [_compared(task, 0, mine)] if len(counts) > 1 else []
    return Study(name, tuple(outcomes), tuple(found))


def sign_flips(differences: NDArray[np.float64]) -> float:
    """Two-sided p of the mean of (pairs,) ``differences``: the share of all choices of signs with a mean as far from 0."""
    n = len(differences)
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    sums = np.abs(signs @ differences)
    return float((sums >= sums[0] - 1e-12).mean())


def _compared(task: str, labels: int, outcomes: Sequence[Outcome]) -> Comparison:
    seeds = sorted({o.trial.seed for o in outcomes})
    of = {m: np.asarray([np.mean([o.macro_f1[m] for o in outcomes if o.trial.seed == s]) for s in seeds]) for m in METHODS}
    differences = of[PRETRAINED] - of[SCRATCH]
    paired = Paired(float(differences.mean()), len(seeds), sign_flips(differences))
    return Comparison(task, labels, {method: _spread(values) for method, values in of.items()}, paired)


def _spread(values: NDArray[np.float64]) -> Spread:
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return Spread(float(values.mean()), deviation, float(values.min()), float(values.max()))
