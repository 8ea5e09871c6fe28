"""What votes and probabilities show by themselves, as JSON. Vectorised over windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.values.labels import ABSTAIN

if TYPE_CHECKING:
    from components.values import LabelSet

BINS = 20
_COPY = 0.95
_RARE = 1e-4
_ALONE = 0.25
_OVERRULED = 0.5
_ROWS = 1 << 18


def measure(labels: LabelSet) -> dict[str, Any]:
    """Shares of windows, one row a function, distributions, and warnings, of one task."""
    counts, decided = _counts(labels), labels.decided
    voters = counts.sum(axis=1, dtype=np.int64)
    functions = [_function(labels, j, counts, voters, decided) for j in range(len(labels.functions))]
    return {
        "task": labels.task,
        "source": labels.source,
        "classes": list(labels.classes),
        "coverage": round(labels.coverage, 6),
        "overlap": share(voters > 1),
        "conflict": share(counts.max(axis=1, initial=0) < voters),
        "class_shares": dict(zip(labels.classes, _class_shares(labels), strict=True)),
        "functions": functions,
        "distribution": _distribution(labels),
        "warnings": _warnings(labels, functions),
    }


def share(mask: NDArray[Any]) -> float:
    """Share of true entries, 0 when there are none at all."""
    return round(float(np.mean(mask)), 6) if len(mask) else 0.0


def _counts(labels: LabelSet) -> NDArray[np.int16]:
    """(windows, classes) how many functions vote for each class."""
    if not labels.functions:
        return np.zeros((len(labels.votes), len(labels.classes)), np.int16)
    return np.stack([(labels.votes == c).sum(axis=1, dtype=np.int16) for c in range(len(labels.classes))], axis=1)


def _function(
    labels: LabelSet, j: int, counts: NDArray[np.int16], voters: NDArray[np.int64], decided: NDArray[np.int8]
) -> dict[str, Any]:
    """``agreement``: share of its votes that the combined label supports. ``alone``: share of windows only it decides."""
    votes = labels.votes[:, j]
    spoke = votes != ABSTAIN
    others = voters - spoke
    same = np.take_along_axis(counts, np.maximum(votes, 0).astype(np.int64)[:, None], axis=1)[:, 0]
    return {
        "name": labels.functions[j],
        "votes": [labels.classes[v] for v in np.unique(votes[spoke])],
        "firing_rate": share(spoke),
        "overlap": share(spoke & (others > 0)),
        "conflict": share(spoke & (same < voters)),
        "alone": share(spoke & (others == 0)),
        "agreement": share(decided[spoke] == votes[spoke]) if spoke.any() else None,
    }


def _distribution(labels: LabelSet) -> dict[str, Any]:
    """Histograms over covered windows in `BINS` equal bins from 0 to 1: of the entropy, and of each class's probability."""
    covered = labels.covered
    return {
        "entropy": _histogram(labels.entropy[covered]),
        "probability": {c: _histogram(labels.probabilities[covered, v]) for v, c in enumerate(labels.classes)},
    }


def _histogram(values: NDArray[np.float32]) -> list[int]:
    return np.bincount(np.minimum((values * BINS).astype(np.int64), BINS - 1), minlength=BINS).tolist()


def _class_shares(labels: LabelSet) -> list[float]:
    if not labels.covered.any():
        return [0.0] * len(labels.classes)
    return [round(float(p), 6) for p in labels.probabilities[labels.covered].mean(axis=0, dtype=np.float64)]


def _warnings(labels: LabelSet, functions: list[dict[str, Any]]) -> list[str]:
    """What its author should look at: functions that never or always fire, decide alone, are overruled or vote alike, and
    classes that nobody votes for.
    """
    if not len(labels.votes):
        return ["there are no windows"]
    found = [f"{f['name']} almost never fires" for f in functions if f["firing_rate"] < _RARE]
    found += [f"{f['name']} fires on every window" for f in functions if f["firing_rate"] == 1.0]
    found += [f"{f['name']} alone decides {f['alone']:.0%} of the windows" for f in functions if f["alone"] > _ALONE]
    found += [
        f"{f['name']} is overruled: the labels uphold {f['agreement']:.0%} of its votes"
        for f in functions
        if f["agreement"] is not None and f["agreement"] < _OVERRULED
    ]
    alike = _alike(labels.votes, len(labels.classes))
    for i, j in np.argwhere(np.triu(alike > _COPY, 1)):
        first, second = labels.functions[i], labels.functions[j]
        found.append(f"{first} and {second} vote alike: that is one opinion, written twice")
    voted = set(np.unique(labels.votes).tolist())
    if labels.source == "weak":
        found += [f"no function votes for {name}" for v, name in enumerate(labels.classes) if v not in voted]
    return found


def _alike(votes: NDArray[np.int8], classes: int) -> NDArray[np.float64]:
    """(functions, functions) of the windows on which either speaks, the share on which both say the same."""
    functions = votes.shape[1]
    same, both = np.zeros((functions, functions)), np.zeros((functions, functions))
    for start in range(0, len(votes), _ROWS):
        part = votes[start : start + _ROWS]
        spoke = (part != ABSTAIN).astype(np.float32)
        both += spoke.T @ spoke
        for c in range(classes):
            named = (part == c).astype(np.float32)
            same += named.T @ named
    fired = np.diag(both)
    return np.asarray(same / np.maximum(fired[:, None] + fired[None, :] - both, 1))
