"""Metrics on what is held out, and the threshold: of the network in floating point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.models.scores import log2_score
from components.models.telemetry_electra import Encoder
from components.training.compare import Judged, Metrics, compared
from components.training.normal import encode, numbers, predict
from components.values import ElectraModel, Windows
from components.values.model import Normal
from components.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from components.training.train import Progress


def held_out_metrics(
    workspace: Workspace,
    windows: Windows,
    encoder: Encoder,
    normal: Normal,
    threshold: float,
    others: Callable[[], Metrics],
    progress: Progress,
) -> dict[str, float]:
    """`<task>/<method>/<metric>` of the network and of the ``others``; empty without a truth."""

    def judge(rows: NDArray[np.int64]) -> Judged:
        codes, types = windows.codes[rows], encoder.architecture.positions(windows.profiles[rows])
        correction, _ = encode(encoder, codes, types)
        scale, core = encoder.architecture.input_scale, workspace.settings.windows.core
        scores = log2_score(codes, correction, normal, scale, core)
        return Judged(scores, predict(encoder, codes, types), numbers(encoder, codes, types))

    return compared(workspace, windows, judge, ElectraModel.kind, threshold, others, progress)


def calibrated_threshold(workspace: Workspace, windows: Windows, encoder: Encoder, normal: Normal) -> float:
    """The log2 score that the stated share of normal calibration windows reaches."""
    from components.training.train import false_alarm_share

    codes, profiles = windows.codes[normal.calibration_rows], windows.profiles[normal.calibration_rows]
    correction, _ = encode(encoder, codes, encoder.architecture.positions(profiles))
    scores = log2_score(codes, correction, normal, encoder.architecture.input_scale, workspace.settings.windows.core)
    return float(np.quantile(scores, 1 - false_alarm_share(workspace)))
