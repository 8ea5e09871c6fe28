"""What people say beside what the label model believes: precision and recall of each function, and calibration.

People's shares carry Wilson's 95 % score interval (Wilson, JASA 22, 1927), which holds for few windows and for shares
near 0 and 1. It takes windows as independent: annotations of many devices, few from each, keep it honest.

A label model that learned from the annotated windows is sure of them, so its probability for such a window is read from
windows with the same votes that nobody annotated. Calibration compares that with how often people agree (reliability
diagram and expected calibration error: Guo et al., ICML 2017).

Windows that people were asked about because they are hard, or chose themselves, are no fair sample of all. Class shares and
calibration are therefore read from the windows that were drawn at random alone, as soon as these are enough.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.labeling.people.active import vote_patterns

if TYPE_CHECKING:
    from components.values import LabelSet

ENOUGH = 50
"""Annotated windows from which calibration is shown, when they were not drawn at random."""
ENOUGH_DRAWN = 20
"""Annotated windows drawn at random from which class shares and calibration are read from them alone."""

_Z95 = 1.959964
_MOST_BINS, _LEAST_IN_BIN = 5, 10


def against_gold(labels: LabelSet) -> dict[str, Any] | None:
    """Counts, functions, class shares and calibration against the people's classes; None where nobody annotated or no votes
    are there.

    ``functions``: name -> ``precision`` and ``recall``: class -> [share, low, high, windows]. ``fair``: whether
    ``class_shares`` are of windows drawn at random alone; ``calibration``, which cannot judge every window, has its own.
    """
    known = labels.gold >= 0
    if not known.any() or not labels.functions:
        return None
    gold, votes = labels.gold[known], labels.votes[known]
    drawn = known & labels.sampled
    fair = bool(drawn.sum() >= ENOUGH_DRAWN)
    judged = drawn[known] if fair else np.ones(len(gold), bool)
    return {
        "windows": {c: int((gold == v).sum()) for v, c in enumerate(labels.classes)},
        "functions": {name: _function(votes[:, j], gold, labels.classes) for j, name in enumerate(labels.functions)},
        "drawn": int(drawn.sum()),
        "fair": fair,
        "class_shares": {c: _share(int((gold[judged] == v).sum()), int(judged.sum())) for v, c in enumerate(labels.classes)},
        "calibration": _fairest(labels, known, drawn[known]),
    }


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Bounds of the 95 % score interval of a share; (0, 1) when there was no trial."""
    if not trials:
        return 0.0, 1.0
    p, z = hits / trials, _Z95
    middle = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def surprises(estimated: dict[str, Any], gold: dict[str, Any]) -> list[str]:
    """Functions for which the interval of the label model's estimated precision and that of people's answers are apart."""
    found = []
    for name, measured in gold["functions"].items():
        for label, (hit_share, low, high, trials) in measured["precision"].items():
            believed = estimated.get(name, {}).get("precision", {}).get(label)
            if believed and (believed[2] < low or believed[1] > high):
                people = f"{name} is right on {label} in {hit_share:.0%} of {trials} annotated windows"
                found.append(f"{people}, the label model believes {believed[0]:.0%}")
    return found


def _function(votes: NDArray[np.int8], gold: NDArray[np.int8], classes: tuple[str, ...]) -> dict[str, Any]:
    """Only classes that the function names: it cannot be wrong about others, nor find them."""
    precision, recall = {}, {}
    for v in np.unique(votes[votes >= 0]).tolist():
        hits = int(((votes == v) & (gold == v)).sum())
        precision[classes[v]] = _share(hits, int((votes == v).sum()))
        if truly := int((gold == v).sum()):
            recall[classes[v]] = _share(hits, truly)
    return {"precision": precision, "recall": recall}


def _share(hits: int, trials: int) -> list[float]:
    low, high = wilson(hits, trials)
    return [round(hits / trials, 6), round(low, 6), round(high, 6), trials]


def _fairest(labels: LabelSet, known: NDArray[np.bool_], drawn: NDArray[np.bool_]) -> dict[str, Any] | None:
    """Calibration on the windows drawn at random if it can be, else on all annotated ones if it can be."""
    for fair, judged, enough in ((True, drawn, ENOUGH_DRAWN), (False, np.ones_like(drawn), ENOUGH)):
        if found := _calibration(labels, known, judged, enough):
            return found | {"fair": fair}
    return None


def _calibration(labels: LabelSet, known: NDArray[np.bool_], judged: NDArray[np.bool_], enough: int) -> dict[str, Any] | None:
    """Of those of the ``known`` windows that are ``judged`` (annotated,), when they are ``enough``: ``bins`` from the least to
    the most confident, equally many windows in each; ``error`` is the expected one.
    """
    probabilities, found = _unannotated_like(labels, known)
    found &= judged
    if found.sum() < enough:
        return None
    weighted = probabilities[found] * np.asarray(labels.decision_weights)
    said = weighted.argmax(axis=1)
    sure = np.take_along_axis(probabilities[found], said[:, None], axis=1)[:, 0]
    right = said == labels.gold[known][found]
    order = np.argsort(sure, kind="stable")
    bins = [_bin(sure[part], right[part]) for part in np.array_split(order, min(_MOST_BINS, len(order) // _LEAST_IN_BIN))]
    error = sum(abs(b["confidence"] - b["right"]) * b["windows"] for b in bins) / int(found.sum())
    return {"windows": int(found.sum()), "error": round(error, 6), "bins": bins}


def _bin(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> dict[str, Any]:
    share, low, high, windows = _share(int(right.sum()), len(right))
    return {"confidence": round(float(sure.mean()), 6), "right": share, "low": low, "high": high, "windows": windows}


def _unannotated_like(labels: LabelSet, known: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(annotated, classes) mean probabilities of unannotated windows with the same votes, and where there are such."""
    patterns = vote_patterns(labels.votes)
    wanted = np.unique(patterns[known])
    place = np.minimum(np.searchsorted(wanted, patterns), len(wanted) - 1)
    lends = labels.covered & ~known & (wanted[place] == patterns)
    count = np.bincount(place[lends], minlength=len(wanted))
    sums = [np.bincount(place[lends], labels.probabilities[lends, c], len(wanted)) for c in range(len(labels.classes))]
    means = np.stack(sums, axis=1) / np.maximum(count, 1)[:, None]
    return means[place[known]], (count > 0)[place[known]]
