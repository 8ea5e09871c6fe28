"""The integers of an artefact's score, and its false-alarm rate in the artefact's own arithmetic."""

from __future__ import annotations

from dataclasses import replace
from math import log2
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from components.runtime.engines import Engine
from components.runtime.gauge import Gauge
from components.runtime.scoring import Quantized, Scoring
from components.runtime.surprise import Calibrated
from components.runtime.trees import TreeScoring, gauge_of
from components.runtime.wide import BITS, Joined, Wide
from components.values import BoostedModel, ElectraModel, Head, TrainedModel

RAISE_AFTER, CLEAR_AFTER = 2, 3
"""Windows in a row that raise and clear an alarm: one outlier raises none, and an alarm outlasts two calm windows."""

KNOTS = 16
_TAIL = 8  # windows that the rarest knot rests on
_ONE = 1 << 16
_MOST_NATS = 64.0  # of a step of a logit, for sums of 32 bits


class Network(Protocol):
    """A model in integers. ``tensors`` names 'input', 'correction', 'embedding', 'logits.<task>' and 'number.<task>' of a
    network; trees have none.
    """

    @property
    def tensors(self) -> dict[str, Quantized]: ...

    @property
    def engine(self) -> Engine: ...


def calibrate(model: TrainedModel, network: Network, codes: NDArray[np.int8]) -> Calibrated:
    """The score of ``network`` whose surprise is calibrated on ``codes``: (windows, steps, channels) of normal windows.

    Each knot is a quantile of the artefact's own scores, so that a surprise of b bits is reached by a share of
    2^-b of these windows whatever rounding did to the network. The threshold is the surprise of
    ``model.false_alarm_share``.
    """
    scoring = uncalibrated(model, network)
    scores = scoring.raw_score(codes, network.engine(codes))
    return replace(scoring, knots=knots(scores))


def uncalibrated(model: TrainedModel, network: Network) -> Calibrated:
    """The score of ``network`` before its surprise means a false-alarm rate: raw scores, classes and values are there."""
    alarm: dict[str, Any] = {
        "core": model.core,
        "knots": ((0, 0), (256, 256)),
        "threshold": round(-256 * log2(max(model.false_alarm_share, 2.0**-255))),
        "raise_after": RAISE_AFTER,
        "clear_after": CLEAR_AFTER,
        "gauges": {head.task: _gauge(head, network.tensors) for head in model.heads if not head.classes},
    }
    if isinstance(model, BoostedModel):
        tasks = tuple(sorted(head.task for head in model.heads if head.classes))
        return TreeScoring(task=model.scored, tasks=tasks, **alarm)
    assert isinstance(model, ElectraModel)  # noqa: S101 - there are two kinds
    return _integers(model, network.tensors, alarm)


def _gauge(head: Head, tensors: dict[str, Quantized]) -> Gauge:
    if not tensors:
        return gauge_of(head.range)
    output = tensors[head.output]
    return Gauge.over(head.range, output.scale, output.zero)


def knots(scores: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """Pairs (score, surprise), both strictly rising, at evenly spaced surprises from 0 to what the sample supports."""
    ordered = np.sort(scores)
    n = len(ordered)
    bits = np.linspace(0.0, max(log2(n / _TAIL), 1.0), KNOTS)
    at = np.clip(n - np.rint(n * 2.0**-bits).astype(np.int64), 0, n - 1)
    pairs: list[tuple[int, int]] = []
    for score, surprise in zip(ordered[at].tolist(), np.rint(256 * bits).astype(int).tolist(), strict=True):
        if pairs and score == pairs[-1][0]:
            continue
        pairs.append((score, surprise))
    if len(pairs) < 2:
        # Every window scores alike: one octave of score is one bit of surprise.
        pairs.append((pairs[0][0] + 256, pairs[0][1] + 256))
    return tuple(pairs)


def _integers(model: ElectraModel, tensors: dict[str, Quantized], alarm: dict[str, Any]) -> Scoring:
    correction = tensors["correction"]
    variance = model.normal.residual_variance.astype(np.float64) + correction.scale**2 / 12
    return Scoring(
        residual_input=round(tensors["input"].scale * _ONE),
        residual_output=round(correction.scale * _ONE),
        correction_zero=correction.zero,
        channel_weight=tuple(np.clip(np.rint(256 / variance), 1, 2**31 - 1).astype(int).tolist()),
        wide={task: _joined(wide, tensors[f"logits.{task}"]) for task, wide in sorted(model.wide.items())},
        **alarm,
    )


def _joined(wide: Wide, logits: Quantized) -> Joined:
    return Joined(wide, round(min(logits.scale, _MOST_NATS) * (1 << BITS)), logits.zero)
