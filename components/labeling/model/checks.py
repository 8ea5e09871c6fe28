"""What a fit refuses, before it computes anything."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.values.labels import ABSTAIN

MOST_CLASSES = 127  # votes are int8


def check(
    votes: NDArray[Any],
    classes: int,
    shares: NDArray[np.float64] | None,
    gold: NDArray[Any] | None,
    sequences: NDArray[Any] | None,
    sampled: NDArray[Any] | None,
) -> None:
    """Raises ValueError for what `fit_label_model` says it raises for."""
    if not 2 <= classes <= MOST_CLASSES:
        raise ValueError(f"{classes} classes; a label model tells 2 to {MOST_CLASSES} apart")
    if votes.ndim != 2 or not votes.size:
        raise ValueError(f"votes have shape {votes.shape}, wanted (windows, functions)")
    if votes.dtype != np.int8:
        raise ValueError(f"votes are {votes.dtype}, wanted int8")
    low, high = int(votes.min()), int(votes.max())
    if low < ABSTAIN or high >= classes:
        raise ValueError(f"vote {low if low < ABSTAIN else high} is outside -1..{classes - 1}")
    if high == ABSTAIN:
        raise ValueError("every function abstains on every window")
    if shares is not None:
        _check_shares(np.asarray(shares), classes)
    for name, one in (("gold", gold), ("sequences", sequences), ("sampled", sampled)):
        if one is not None and one.shape != (len(votes),):
            raise ValueError(f"{name} has shape {one.shape}, wanted ({len(votes)},)")
    if gold is not None and (gold.dtype != np.int8 or gold.min() < ABSTAIN or gold.max() >= classes):
        raise ValueError(f"a gold label is outside -1..{classes - 1}, or they are no int8")


def _check_shares(shares: NDArray[np.float64], classes: int) -> None:
    if shares.shape != (classes,):
        raise ValueError(f"class shares have shape {shares.shape}, wanted ({classes},)")
    if not np.isfinite(shares).all() or shares.min() < 0 or shares.sum() <= 0:
        raise ValueError("class shares must be numbers of which none is negative and one at least is not 0")
