"""How good each function seems to be, judged by the model's own probabilities, with intervals.

Precision of a vote is the mean probability of its class where it is cast; recall of a class is the share of its
probability mass on which the function votes for it. Both are ratios of sums over devices, whose windows are not
independent: the interval is that of a ratio of cluster totals (Cochran, Sampling Techniques, 3rd ed., 6.3), 95 % by the
normal law. It says how well the data determine the estimate under the model, not whether the model is right; only gold
labels say that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.labeling.model.sequences import Ids
from components.labeling.model.votes import Votes

_Z = 1.959964  # 97.5 % quantile of the normal law

Interval = tuple[float, float, float]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimates:
    """``precision``, ``recall``: (functions, classes, 3) estimate, low, high; NaN where a function never votes for the class."""

    precision: Floats
    recall: Floats


NO_ESTIMATES = Estimates(np.empty((0, 0, 3)), np.empty((0, 0, 3)))


def estimates(votes: Votes, said: NDArray[np.float32], covered: NDArray[np.bool_], clusters: Ids | None) -> Estimates:
    """Estimates on the covered of the windows (windows, functions) with probabilities ``said`` (windows, classes).

    ``clusters``: (windows,) the device or sequence of each, None where each window stands for itself.
    """
    votes, said = votes[covered], said[covered].astype(np.float64)
    member = np.arange(len(votes)) if clusters is None else np.unique(clusters[covered], return_inverse=True)[1]
    count = int(member.max()) + 1 if len(member) else 0
    functions, k = votes.shape[1], said.shape[1]
    precision, recall = np.full((functions, k, 3), np.nan), np.full((functions, k, 3), np.nan)
    for c in range(k):
        mass = np.bincount(member, said[:, c], count)
        for j in range(functions):
            cast = np.flatnonzero(votes[:, j] == c)
            if not len(cast):
                continue
            right = np.bincount(member[cast], said[cast, c], count)
            precision[j, c] = _ratio(right, np.bincount(member[cast], minlength=count))
            recall[j, c] = _ratio(right, mass)
    return Estimates(precision, recall)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Interval:
    """Sum of ``part`` over sum of ``whole``, both (clusters,), and its interval within 0..1."""
    total = whole.sum()
    ratio = float(part.sum() / total) if total > 0 else np.nan
    clusters = int((whole > 0).sum())
    if clusters < 2:
        return ratio, 0.0, 1.0
    error = np.sqrt(((part - ratio * whole) ** 2).sum() * clusters / (clusters - 1)) / total
    return ratio, float(max(ratio - _Z * error, 0.0)), float(min(ratio + _Z * error, 1.0))
