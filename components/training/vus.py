"""VUS-PR: the volume under the precision-recall surface (Paparrizos et al., PVLDB 15(11), 2022).

The edges of each anomaly are softened by a buffer of 0..L steps: at distance d from an anomaly a step is
anomalous to the degree sqrt(1 - d / buffer). Recall is multiplied by the share of anomalies that were touched.
The volume is the mean over all buffers of the area under precision against recall, at ``THRESHOLDS`` scores.
The definition, with its averaging of true and softened positives, is that of the authors' implementation, whose
values this module reproduces.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = 250


def vus_pr(labels: NDArray[Any], scores: NDArray[Any], buffer_steps: int) -> float:
    """(steps,) labels in {0, 1} with both values, (steps,) scores (higher is more anomalous) -> volume in [0, 1]."""
    labels, scores = np.asarray(labels, np.int64), np.asarray(scores)
    runs, order = _runs(labels), np.argsort(-scores, kind="stable")
    ranked = scores[order]
    thresholds = ranked[np.linspace(0, len(ranked) - 1, THRESHOLDS).astype(int)]
    said = np.searchsorted(-ranked, -thresholds, side="right")  # steps at or above each threshold
    core = labels == 1
    found = np.cumsum(core[order])[said - 1]
    areas = []
    for buffer in range(buffer_steps + 1):
        soft = np.where(core, 0.0, _softened(labels, runs, buffer))
        softened = np.cumsum(soft[order])[said - 1]  # positives found in softened edges
        highest = np.array([scores[first : last + 1].max() for first, last in _merged(runs, buffer, len(labels))])
        touched = (highest >= thresholds[:, None]).mean(axis=1)
        true_positive = found + softened
        positives = (core.sum() + core.sum() + softened) / 2  # true ones and softened ones, averaged
        recall = np.minimum(true_positive / positives, 1) * touched
        areas.append(float(np.diff(recall, prepend=0.0) @ (true_positive / said)))
    return float(np.mean(areas))


def average_precision(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Area under the precision-recall steps (AUC-PR): mean precision at each positive, ties taken together.

    ``labels`` in {0, 1} with at least one 1, ``scores`` higher is more anomalous, both (n,).
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    ranked = np.asarray(scores)[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # the end of each group of equal scores
    hits = np.cumsum(np.asarray(labels, np.int64)[order])[last]
    return float(np.diff(hits, prepend=0) @ (hits / (last + 1)) / hits[-1])


def _softened(labels: NDArray[np.int64], runs: list[tuple[int, int]], buffer: int) -> NDArray[np.float64]:
    soft = labels.astype(float)
    reach = buffer // 2
    if not reach:
        return soft
    fall = np.sqrt(1 - np.arange(1, reach + 1) / buffer)
    n = len(labels)
    for a, b in runs:
        right, left = min(reach, n - 1 - b), min(reach, a)
        soft[b + 1 : b + 1 + right] += fall[:right]
        soft[a - left : a] += fall[:left][::-1]
    return np.minimum(soft, 1.0)


def _merged(runs: list[tuple[int, int]], buffer: int, n: int) -> list[tuple[int, int]]:
    """Runs widened by half the buffer on both sides, overlapping ones joined; ends inclusive."""
    reach = buffer // 2
    joined: list[tuple[int, int]] = []
    for a, b in runs:
        wide = (max(a - reach, 0), min(b + reach, n - 1))
        if joined and wide[0] <= joined[-1][1]:
            joined[-1] = (joined[-1][0], wide[1])
        else:
            joined.append(wide)
    return joined


def _runs(labels: NDArray[np.int64]) -> list[tuple[int, int]]:
    edges = np.diff(np.concatenate([[0], labels, [0]]))
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))
