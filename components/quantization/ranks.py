"""Rank correlation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rank_correlation(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Spearman's rho, ties sharing their mean rank; 1 when both are constant, 0 when one is."""
    x, y = _ranks(a), _ranks(b)
    spread = float(x.std()), float(y.std())
    if 0.0 in spread:
        return float(spread == (0.0, 0.0))
    return float(np.clip(((x - x.mean()) * (y - y.mean())).mean() / (spread[0] * spread[1]), -1, 1))


def _ranks(values: NDArray[np.generic]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray(((ends - counts) + (ends - 1))[place] / 2.0)
