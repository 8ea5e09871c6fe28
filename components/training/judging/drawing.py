"""Examples worth a look: anomalies that were missed and found, and an alarm where nothing was, with the score above."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.labeling.people.excerpt import Excerpt, as_svg
from components.training.judging.detector import standing, top_channels
from components.training.judging.device import DeviceTruth, step_blame
from components.training.placing import runs

if TYPE_CHECKING:
    from components.training.judging.result import Evaluation

EACH = 2
"""Drawings of each kind."""
CHANNELS = 3
_MARGIN = 1.0  # of the span, to each side
_LEAST_MARGIN = 48


@dataclass(frozen=True)
class _Span:
    kind: str
    truth: DeviceTruth
    first: int
    last: int
    score: float


def drawings(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Titles and SVG texts; none where the model scores no anomalies."""
    if not evaluation.detector.anomaly or evaluation.model.threshold is None:
        return []
    spans = [span for truth in evaluation.truths for span in _spans(evaluation, truth)]
    chosen: list[_Span] = []
    for kind, sign in (("missed", 1), ("found", -1), ("false alarm", -1)):
        ranked = sorted((s for s in spans if s.kind == kind), key=lambda s: (sign * s.score, s.truth.device, s.first))
        chosen += ranked[:EACH]
    return [(_title(span), _draw(evaluation, span)) for span in chosen]


def highest(evaluation: Evaluation) -> list[tuple[str, str]]:
    """The window with the highest score of each of the few devices that have the highest, where no truth is known."""
    if not evaluation.detector.anomaly:
        return []
    spans = []
    for truth in evaluation.truths:
        scores = evaluation.said.score[truth.index.index.to_numpy()]
        top = int(scores.argmax())
        first, last = int(truth.placed.first[top]), int(truth.placed.last[top])
        spans.append(_Span("highest score", truth, first, last, float(scores[top])))
    spans.sort(key=lambda s: (-s.score, s.truth.device))
    return [(_title(span), _draw(evaluation, span)) for span in spans[: 2 * EACH]]


def _spans(evaluation: Evaluation, truth: DeviceTruth) -> list[_Span]:
    """Events, found or missed, and alarms that touch none."""
    rows = truth.index.index.to_numpy()
    scores, detector = evaluation.said.score[rows], evaluation.detector
    stands = standing(scores >= (evaluation.model.threshold or 0.0), detector.raise_after, detector.clear_after)
    alarm, steps = truth.placed.covered(stands), truth.placed.mean(scores)
    kinds = [("found" if alarm[e.first : e.last].any() else "missed", e.first, e.last) for e in truth.events]
    kinds += [("false alarm", a, b) for a, b in runs(alarm) if not truth.steps[a:b].any()]
    return [_Span(kind, truth, a, b, float(steps[a:b].max())) for kind, a, b in kinds]


def _title(span: _Span) -> str:
    import pandas as pd

    start = span.truth.index["start"].min() + pd.Timedelta(seconds=span.first * span.truth.interval_s)
    what = f"Anomaly, {span.kind}" if span.kind in ("found", "missed") else span.kind.capitalize()
    return escape(f"{what}: {span.truth.device}, {start:%Y-%m-%d %H:%M}, score up to {span.score:.1f}")


def _draw(evaluation: Evaluation, span: _Span) -> str:
    """The score and the channels most to blame, around the shaded span; dashes: the threshold, and the usual range."""
    truth = span.truth
    rows = truth.index.index.to_numpy()
    margin = max(int((span.last - span.first) * _MARGIN), _LEAST_MARGIN)
    begin, end = max(span.first - margin, 0), min(span.last + margin, len(truth.steps))
    windows = evaluation.windows
    residual = evaluation.detector.score(windows.codes[rows], windows.profiles[rows]).residual
    blame = step_blame(truth.placed, residual)
    top = top_channels(blame[span.first : span.last].mean(axis=0)[None], CHANNELS)[0]
    score = truth.placed.mean(evaluation.said.score[rows])
    values = step_values(truth, windows.values[rows][:, :, top])
    columns = np.column_stack([np.where(truth.covered, score, np.nan), values])[begin:end].astype(np.float32)
    usual = [[float(score.min()), float(evaluation.model.threshold or 0.0)], *(_usual(values[:, c]) for c in range(len(top)))]
    channels = (("score", "log2"), *((evaluation.detector.channels[c], "") for c in top.tolist()))
    return as_svg(Excerpt(columns, np.asarray(usual), span.first - begin, span.last - begin, channels))


def step_values(truth: DeviceTruth, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """(windows, steps, channels) values of a device's windows -> (steps, channels), NaN where no window is."""
    laid = np.full((len(truth.steps), values.shape[2]), np.nan)
    laid[(truth.placed.first[:, None] + np.arange(values.shape[1])).ravel()] = values.reshape(-1, values.shape[2])
    return laid


def _usual(values: NDArray[np.float64]) -> list[float]:
    """The middle nine tenths of what the device sent."""
    present = values[~np.isnan(values)]
    return np.quantile(present, (0.05, 0.95)).tolist() if present.size else [0.0, 0.0]
