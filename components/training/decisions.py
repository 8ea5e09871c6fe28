"""What a head decides by argmax on the device: its biases, set after training so that decisions follow the labels.

Training draws rare classes more often than they occur, and noise-aware losses leave heads less sure of them than they
could be, so the largest logit alone is no decision that anybody asked for. A constant added to each class's logit
moves the decision without touching what the network has learned (prior correction: Saerens et al., Neural
Computation 14, 2002; logit adjustment: Menon et al., ICLR 2021). The constants are added to the head's biases: they
travel inside every artefact, and nothing on the device changes.

They are chosen so that, on the labelled training windows, the head decides for each class as often as the label set
does, whose decisions follow the class shares (`LabelSet.decided`). The calibration windows alone would be those that the
network was not fitted to, but they come last, and faults that grow are common and plain there: thresholds set on them
cost 1 to 2 points of macro-F1 on simulated pumps. A network that knows its training windows by heart is shifted too
little, never too far. Where people have labelled enough of the calibration windows, drawn at random, the biases that
give the highest macro-F1 against those people are taken. Declared classes keep theirs: they are no sample of how often
states of machines occur, and no training window is left that they were not learned from. Means of probabilities are no
guide: tempered ones overstate what is rare.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.training.evaluation import macro_f1
from components.values import LabelSet

if TYPE_CHECKING:
    from components.models.telemetry_electra import Encoder
    from components.training.train import Rows

MIN_GOLD = 10
"""Calibration windows of each class that people must have labelled for their word to set the biases."""
_ROUNDS = 200
_OFFSETS = np.arange(-1.0, 1.01, 0.25)

Floats = NDArray[np.float64]


def settle_decisions(
    encoder: Encoder, codes: NDArray[np.int8], rows: Rows, labels: list[LabelSet], types: NDArray[np.int64] | None = None
) -> None:
    """Shift the biases of the head of each task with weak labels in place. ``rows``: of ``codes``.

    ``types``: (windows,) of `Architecture.positions`; None: all unknown.
    """
    import torch

    for label in labels:
        if label.task not in encoder.heads:
            continue
        shift = settled(partial(_logits, encoder, label.task, codes, types), label, rows.fit, rows.calibration)
        with torch.no_grad():
            encoder.heads[label.task].bias += torch.from_numpy(shift.astype(np.float32))  # type: ignore[operator]


def settled(
    logits: Callable[[NDArray[np.int64]], Floats], label: LabelSet, fit: NDArray[np.int64], calibration: NDArray[np.int64]
) -> Floats:
    """(classes,) to add to what ``logits`` says of rows, in natural logarithms: (rows, classes); 0 for declared classes."""
    k = len(label.classes)
    if label.source == "gold":
        return np.zeros(k)
    rows = np.concatenate([fit, calibration])
    rows = rows[label.covered[rows]]
    shift = matching(logits(rows), _shares(label.decided[rows], k))
    judged = calibration[(label.gold[calibration] >= 0) & label.sampled[calibration]]
    if (np.bincount(label.gold[judged], minlength=k) >= MIN_GOLD).all():
        shift = most_macro_f1(logits(judged), label.gold[judged], shift)
    return shift


def matching(logits: Floats, shares: Floats) -> Floats:
    """(classes,) to add to (windows, classes) logits so that argmax chooses each class as often as ``shares`` says.

    A class that is chosen too seldom is raised by the logarithm of the ratio, in ever smaller steps measured by the spread
    of the logits; the best of all rounds wins, because with few windows no shift fits exactly. The shift has mean 0.
    """
    shift, best, least = np.zeros(logits.shape[1]), np.zeros(logits.shape[1]), np.inf
    one, scale = 1.0 / len(logits), float((logits - logits.mean(axis=1, keepdims=True)).std(axis=0).mean())
    for step in range(_ROUNDS):
        got = _shares((logits + shift).argmax(axis=1), len(shares))
        if (miss := float(np.abs(got - shares).sum())) < least:
            best, least = shift, miss
        shift = shift + scale * np.clip(np.log((shares + one) / (got + one)), -1, 1) / (1 + step / 10)
    return best - best.mean()


def most_macro_f1(logits: Floats, gold: NDArray[np.int8], start: Floats) -> Floats:
    """(classes,) to add to (windows, classes) logits for the highest macro-F1 against ``gold``, class by class in turn.

    Looks around ``start`` and moves only for a gain: people label few windows, and rather odd ones.
    """
    k, shift = logits.shape[1], start
    for _ in range(2):
        for c in range(k):
            tried = shift + np.outer(_OFFSETS, np.eye(k)[c])
            reached = [macro_f1(gold, (logits + t).argmax(axis=1).astype(np.int8), k) for t in tried]
            ranked = np.lexsort((np.abs(_OFFSETS), -np.asarray(reached)))
            shift = tried[ranked[0]]
    return np.asarray(shift - shift.mean())


def _shares(classes: NDArray[Any], k: int) -> Floats:
    return np.bincount(classes, minlength=k) / len(classes)


def _logits(
    encoder: Encoder, task: str, codes: NDArray[np.int8], types: NDArray[np.int64] | None, rows: NDArray[np.int64]
) -> Floats:
    from components.training.normal import logits

    return logits(encoder, codes[rows], None if types is None else types[rows])[task]
