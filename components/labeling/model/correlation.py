"""Functions that err together: found in what the classes leave unexplained, and discounted.

Naive Bayes counts a copy of a function as a second opinion. Given the probabilities of the classes, what is left of a
function's votes is ``1[j votes v] - sum_y P(y | votes) P(j votes v | y)``; independent functions leave uncorrelated rests. A
function whose rests correlate above `NOTABLE` with others keeps ``1 / (1 + sum of those correlations)`` of its evidence, so
that n copies together count as one (the same idea as skweak's redundancy weights, Lison et al., ACL 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOTABLE = 0.2
_LEAST = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Two functions, by position, that agree more than they should: of the windows on which either votes, the share on
    which both vote alike, and what it would be if the classes were all they had in common.
    """

    first: int
    second: int
    agreement: float
    expected: float


def discounts(hot: Floats, counts: Floats, said: Floats) -> tuple[Floats, Floats]:
    """(functions, functions) correlations of the rests, zero on the diagonal, and (functions,) weights in (0, 1].

    ``hot``: (patterns, functions, 1 + classes) votes. ``counts``: (patterns,). ``said``: (patterns, classes) probabilities.
    """
    mass = counts @ said
    cast = np.tensordot(said * counts[:, None], hot, axes=(0, 0)) / (mass[:, None, None] + 1)
    together = np.zeros((hot.shape[1], hot.shape[1]))
    for v in range(1, hot.shape[2]):
        rest = hot[:, :, v] - said @ cast[:, :, v]
        together += (rest * counts[:, None]).T @ rest
    scale = np.sqrt(np.maximum(np.diag(together), _LEAST))
    correlations = together / scale[:, None] / scale[None, :]
    np.fill_diagonal(correlations, 0)
    return correlations, 1 / (1 + np.where(correlations > NOTABLE, correlations, 0).sum(axis=1))


def pairs(hot: Floats, counts: Floats, correlations: Floats, shares: Floats, rates: Floats) -> tuple[Pair, ...]:
    """The pairs whose rests correlate above `NOTABLE`, the closest first."""
    found = []
    fires = hot[:, :, 1:].sum(axis=2)
    for first, second in zip(*np.nonzero(np.triu(correlations > NOTABLE)), strict=True):
        alike = (hot[:, first, 1:] * hot[:, second, 1:]).sum(axis=1)
        either = np.maximum(fires[:, first], fires[:, second])
        meet = float(shares @ (rates[first] * rates[second]).sum(axis=1))
        apart = float(shares @ ((1 - rates[first].sum(axis=1)) * (1 - rates[second].sum(axis=1))))
        agreement = float(counts @ alike / max(counts @ either, _LEAST))
        found.append(Pair(int(first), int(second), agreement, meet / max(1 - apart, _LEAST)))
    return tuple(sorted(found, key=lambda pair: pair.expected - pair.agreement))
