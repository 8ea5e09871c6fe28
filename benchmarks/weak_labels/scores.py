"""How right a label model is, on rows whose gold it has not seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.weak_labels.models import Opinion
from benchmarks.weak_labels.sets import VoteSet

CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1 in log-losses, so that one certain error does not decide a mean."""


def accuracy(said: Opinion, one: VoteSet) -> float:
    return float((said.decided == one.gold).mean())


def f1(said: Opinion, one: VoteSet) -> float:
    """F1 of class 1."""
    hit = int(((said.decided == 1) & (one.gold == 1)).sum())
    return 2 * hit / max(int((said.decided == 1).sum() + (one.gold == 1).sum()), 1)


def quality(said: Opinion, one: VoteSet) -> float:
    """What the published tables show: F1 of class 1 of two, accuracy for more."""
    return f1(said, one) if one.classes == 2 else accuracy(said, one)


def average_precision(said: Opinion, one: VoteSet) -> float:
    """Of class 1 of two; for more, the mean over the classes that occur, each against the rest."""
    from sklearn.metrics import average_precision_score

    classes = [1] if one.classes == 2 else np.unique(one.gold).tolist()
    return float(np.mean([average_precision_score(one.gold == c, said.probabilities[:, c]) for c in classes]))


def log_loss(said: Opinion, one: VoteSet) -> float:
    """Mean -log probability of the gold over rows with a vote, in nats, with probabilities clipped to `CLIP`."""
    p = np.clip(said.probabilities, CLIP, 1 - CLIP)
    p = p / p.sum(axis=1, keepdims=True)
    spoken = voted(one)
    return float(-np.log(p[np.arange(len(p)), one.gold])[spoken].mean())


def share_ratio(said: Opinion, one: VoteSet) -> float:
    """How often class 1 is decided for, over how often it is true."""
    return float((said.decided == 1).sum() / max((one.gold == 1).sum(), 1))


def voted(one: VoteSet) -> NDArray[np.bool_]:
    return np.asarray((one.test >= 0).any(axis=1))
