"""How far the network is heard beside the wide part of a task: chosen on windows that neither has learned from.

After few labels a network knows them by heart and is sure of everything: beside the wide part, which is there by then, it only
does harm (2 to 4 points of macro-F1 on a hydraulic rig, with twenty or fifty labels). Its logits are scaled by one factor, as in
stacking (Wolpert, Neural Networks 5, 1992), that travels inside of the head's weights. It is the smallest under which the labels
of calibration windows are no less likely than under the best by more than one standard error (Breiman et al., Classification
and Regression Trees, 1984, section 3.4.3): where few windows say anything, the network stays quiet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.runtime.wide import BITS, CAP
from components.training.wide import fit_wide
from components.values import LabelSet

if TYPE_CHECKING:
    from components.models.telemetry_electra import Encoder
    from components.training.train import Rows

FACTORS = np.geomspace(1 / 32, 1, 11)
"""The least is next to nothing, and leaves weights that int8 can hold."""

Floats = NDArray[np.float64]


def settle_hearing(
    encoder: Encoder, codes: NDArray[np.int8], rows: Rows, labels: list[LabelSet], types: NDArray[np.int64]
) -> None:
    """Scale the head of each task that has a wide part in place. ``rows``: of ``codes``; heads never learned from those that
    calibrate. Where the wide part did, another one speaks for it that did not.

    ``types``: (windows,) of `Architecture.positions`.
    """
    import torch

    from components.training.normal import logits

    for label in labels:
        if label.task not in encoder.wide:
            continue
        judged = rows.calibration[label.covered[rows.calibration]]
        early = fit_wide(codes, label, rows.fit) if label.source == "gold" else encoder.wide[label.task]
        factor = float(FACTORS[0])
        if early is not None and len(judged):
            wide = early.nats(codes[judged])
            deep = logits(encoder, codes[judged], types[judged])[label.task] - encoder.wide[label.task].nats(codes[judged])
            factor = hearing(wide, deep, label.probabilities[judged])
        with torch.no_grad():
            for parameter in encoder.heads[label.task].parameters():
                parameter.mul_(factor)


def hearing(wide: Floats, deep: Floats, probabilities: NDArray[np.float32]) -> float:
    """(windows, classes) logits of both in nats and label probabilities of windows that are new to both -> the factor."""
    surprises = np.stack([_surprises(wide + factor * deep, probabilities) for factor in FACTORS])
    more = surprises - surprises[surprises.mean(axis=1).argmin()]
    error = more.std(axis=1) / np.sqrt(len(wide))
    return float(FACTORS[np.flatnonzero(more.mean(axis=1) <= error)[0]])


def _surprises(logits: Floats, probabilities: NDArray[np.float32]) -> Floats:
    """(windows,) expected negative log-likelihood in nats, under the cap that devices have."""
    capped = np.maximum(logits - logits.max(axis=1, keepdims=True), -CAP / float(1 << BITS))
    likelihood = capped - np.log(np.exp(capped).sum(axis=1, keepdims=True))
    return np.asarray(-(probabilities * likelihood).sum(axis=1))
