"""From probabilities to hard labels, and from gold labels to class shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.values.labels import ABSTAIN

GOLD_OF_EACH = 5  # gold windows of each class before they set the threshold
_NOTABLE_GAIN = 0.02  # of F1: less is chance
_CONFIDENCE = (0.6, 0.75, 0.9, 0.97)  # bounds of like confidence
_BORROWED = 5.0  # windows that the model's own opinion of a stratum counts for beside its gold

Probabilities = NDArray[np.float32]


def decision_weights(
    said: Probabilities, covered: NDArray[np.bool_], shares: NDArray[np.float64], gold: NDArray[np.int8] | None = None
) -> tuple[float, ...]:
    """Weights under which the class of the largest probability times weight is the hard label.

    Two classes: the threshold at which as many windows get the rarer class as are expected to have it, but
    no lower than its share, below which votes speak against it. Expected is the mean of the class's share and of the
    share of windows that are likelier than not to have it: the one is too high where a fit is unsure, the other too
    low. With enough gold labels, the threshold of the highest F1 of the rarer class on them. More classes: all equal,
    the probabilities hold the shares already.
    """
    k = len(shares)
    if k != 2:
        return (1.0,) * k
    rare = int(shares[1] <= shares[0])
    threshold = _threshold_by_share(np.where(covered, said[:, rare], 0.0), float(shares[rare]))
    if gold is not None:
        threshold = _threshold_by_gold(said[:, rare], gold, rare, threshold)
    weights = [1.0, 1.0]
    weights[rare], weights[1 - rare] = 1 - threshold, threshold
    return tuple(weights)


def shares_from_gold(said: Probabilities, gold: NDArray[np.int8], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(classes,) shares over all windows from declared classes of some, however those were selected by the votes.

    Post-stratification (Holt and Smith, J. R. Statist. Soc. A 142, 1979): among the windows of which the model says the
    same with like confidence, gold windows stand for all, with the model's mean opinion as `_BORROWED` more windows.
    """
    k = said.shape[1]
    stratum = said.argmax(axis=1) * (len(_CONFIDENCE) + 1) + np.searchsorted(_CONFIDENCE, said.max(axis=1))
    strata = k * (len(_CONFIDENCE) + 1)
    sizes = np.bincount(stratum, minlength=strata) / len(stratum)
    counts = np.zeros((strata, k))
    np.add.at(counts, (stratum[known], gold), 1)
    mass = np.stack([np.bincount(stratum, said[:, c], strata) for c in range(k)], axis=1) / len(stratum)
    opinion = mass / np.maximum(sizes, 1 / len(stratum))[:, None]
    within = (counts + _BORROWED * opinion) / (counts.sum(axis=1, keepdims=True) + _BORROWED)
    return np.asarray(sizes @ within)


def _threshold_by_share(said: NDArray[np.floating], share: float) -> float:
    expected = (share + float((said > 0.5).mean())) / 2
    wanted = float(np.quantile(said, 1 - expected, method="higher"))
    # Just above the share: a window about which nothing is known sits exactly on it.
    return min(max(wanted - 1e-6, share * (1 + 1e-4)), 1 - 1e-6)


def _threshold_by_gold(said: NDArray[np.floating], gold: NDArray[np.int8], rare: int, otherwise: float) -> float:
    """The threshold of the highest F1 on gold windows, if it gains `_NOTABLE_GAIN` and there are enough of them."""
    known = gold != ABSTAIN
    is_rare = gold[known] == rare
    if min(is_rare.sum(), (~is_rare).sum()) < GOLD_OF_EACH:
        return otherwise
    order = np.argsort(-said[known], kind="stable")
    ranked = said[known][order]
    f1 = 2 * np.cumsum(is_rare[order]) / (np.arange(1, len(ranked) + 1) + is_rare.sum())
    f1[:-1][ranked[1:] == ranked[:-1]] = 0  # a threshold cannot part equals
    best, usual = int(f1.argmax()), int((ranked > otherwise).sum())
    if f1[best] < (f1[usual - 1] if usual else 0.0) + _NOTABLE_GAIN:
        return otherwise
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float(np.clip((ranked[best] + below) / 2, 1e-6, 1 - 1e-6))
