"""What a head decides by argmax on the device: its biases, set on windows that the network was not fitted to.

Training draws rare classes more often than they occur, and noise-aware losses leave heads less sure of them than they
could be, so the largest logit alone is no decision that anybody asked for. A constant added to each class's logit
moves the decision without touching what the network has learned (prior correction: Saerens et al., Neural
Computation 14, 2002; logit adjustment: Menon et al., ICLR 2021). The constants are added to the head's biases: they
travel inside every artefact, and nothing on the device changes.

They are chosen so that, on the calibration windows, the head decides for each class as often as the label set does,
whose decisions follow the class shares (`LabelSet.decided`); where people have labelled enough of those windows, so that
macro-F1 against those people is highest. Means of probabilities are no such guide: tempered ones overstate what is rare.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from components.models.telemetry_electra import Encoder
from components.training.evaluation import macro_f1
from components.training.normal import encode
from components.values import LabelSet

MIN_WINDOWS = 10
"""Windows of a class, as labels decide or people say, below which its share says too little to act on."""
_ROUNDS = 200
_OFFSETS = np.arange(-1.0, 1.01, 0.25)

Floats = NDArray[np.float64]


def settle_decisions(
    encoder: Encoder, codes: NDArray[np.int8], fit: NDArray[np.int64], calibration: NDArray[np.int64], labels: list[LabelSet]
) -> None:
    """Shift the biases of each labelled task's head in place. ``fit``, ``calibration``: rows of ``codes``, (windows,)."""
    for label in labels:
        if label.task not in encoder.heads:
            continue
        rows, k = _rows(label, fit, calibration), len(label.classes)
        logits, gold = _logits(encoder, label.task, codes[rows]), label.gold[rows]
        weak = label.source == "weak"  # declared states of machines are no sample of how often they occur
        shift = matching(logits, _shares(label.decided[rows], k)) if weak else np.zeros(k)
        if (np.bincount(gold[gold >= 0], minlength=k) >= MIN_WINDOWS).all():
            shift = most_macro_f1(logits[gold >= 0], gold[gold >= 0], shift)
        with torch.no_grad():
            encoder.heads[label.task].bias += torch.from_numpy(shift.astype(np.float32))  # type: ignore[operator]


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


def _rows(label: LabelSet, fit: NDArray[np.int64], calibration: NDArray[np.int64]) -> NDArray[np.int64]:
    """The covered calibration windows; all covered training windows when a class is too rare in those."""
    late = calibration[label.covered[calibration]]
    if (np.bincount(label.decided[late], minlength=len(label.classes)) >= MIN_WINDOWS).all():
        return late
    both = np.concatenate([fit, calibration])
    return both[label.covered[both]]


def _shares(classes: NDArray[Any], k: int) -> Floats:
    return np.bincount(classes, minlength=k) / len(classes)


@torch.no_grad()
def _logits(encoder: Encoder, task: str, codes: NDArray[np.int8]) -> Floats:
    embedding = torch.from_numpy(encode(encoder, codes)[1])
    return encoder.logits(task, embedding).numpy().astype(np.float64)
