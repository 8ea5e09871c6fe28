"""From probabilities to hard labels, and from gold labels to class shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_SAMPLE = 20  # windows drawn at random before they say anything about class shares
GOLD_OF_EACH = 5  # of each class before they set the threshold
_NOTABLE_GAIN = 0.02  # of F1: less is chance
_BORROWED = 20.0  # windows that the shares learned from votes count for beside the sample

Probabilities = NDArray[np.float32]


def decision_weights(
    said: Probabilities,
    covered: NDArray[np.bool_],
    shares: NDArray[np.float64],
    sample: tuple[Probabilities, NDArray[np.int8]] | None = None,
) -> tuple[float, ...]:
    """Weights under which the class of the largest probability times weight is the hard label.

    Two classes: the threshold at which as many windows get the rarer class as are expected to have it, but
    no lower than its share, below which votes speak against it. Expected is the mean of the class's share and of the
    share of windows that are likelier than not to have it: the one is too high where a fit is unsure, the other too
    low. ``sample``: probabilities and gold classes of windows drawn at random; with enough of them, the threshold of the
    highest F1 of the rarer class on them. More classes: all equal, the probabilities hold the shares already.
    """
    k = len(shares)
    if k != 2:
        return (1.0,) * k
    rare = int(shares[1] <= shares[0])
    threshold = _threshold_by_share(np.where(covered, said[:, rare], 0.0), float(shares[rare]))
    if sample is not None:
        threshold = _threshold_by_gold(sample[0][:, rare], sample[1] == rare, threshold)
    weights = [1.0, 1.0]
    weights[rare], weights[1 - rare] = 1 - threshold, threshold
    return tuple(weights)


def shares_from_sample(gold: NDArray[np.int8], learned: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """(classes,) shares from the gold classes of windows drawn at random, None if they are fewer than `LEAST_SAMPLE`.

    The shares ``learned`` from votes count as `_BORROWED` more windows (the mean of a Dirichlet posterior).
    """
    if len(gold) < LEAST_SAMPLE:
        return None
    return np.asarray((np.bincount(gold, minlength=len(learned)) + _BORROWED * learned) / (len(gold) + _BORROWED))


def _threshold_by_share(said: NDArray[np.floating], share: float) -> float:
    expected = (share + float((said > 0.5).mean())) / 2
    wanted = float(np.quantile(said, 1 - expected, method="higher"))
    # Just above the share: a window about which nothing is known sits exactly on it.
    return min(max(wanted - 1e-6, share * (1 + 1e-4)), 1 - 1e-6)


def _threshold_by_gold(said: NDArray[np.floating], is_rare: NDArray[np.bool_], otherwise: float) -> float:
    """The threshold of the highest F1 on gold windows, if it gains `_NOTABLE_GAIN` and there are enough of them."""
    if min(is_rare.sum(), (~is_rare).sum()) < GOLD_OF_EACH:
        return otherwise
    order = np.argsort(-said, kind="stable")
    ranked = said[order]
    f1 = 2 * np.cumsum(is_rare[order]) / (np.arange(1, len(ranked) + 1) + is_rare.sum())
    f1[:-1][ranked[1:] == ranked[:-1]] = 0  # a threshold cannot part equals
    best, usual = int(f1.argmax()), int((ranked > otherwise).sum())
    if f1[best] < (f1[usual - 1] if usual else 0.0) + _NOTABLE_GAIN:
        return otherwise
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float(np.clip((ranked[best] + below) / 2, 1e-6, 1 - 1e-6))
