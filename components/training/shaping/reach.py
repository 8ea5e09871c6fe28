"""What each network reaches on what is held out in simulated integers, as devices compute, before anything is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from components.models.calibration import calibrate
from components.models.selection import held_out, normal_windows, range_windows
from components.models.simulation import simulate
from components.training.evaluation import evaluate, read_truth
from components.values import ElectraModel, Windows

if TYPE_CHECKING:
    from components.workspace import Workspace

INTEGERS = "int8"
"""What the trained network in integers is called beside itself; a shape goes by `int8-<its name>`."""


def in_integers(workspace: Workspace, windows: Windows, model: ElectraModel) -> dict[str, float]:
    """`<task>/<int8 or int8-shape>/<metric>` on held-out windows of up to `evaluation.max_windows`; empty without a truth."""
    if read_truth(workspace) is None or not windows.test.any():
        return {}
    named = {INTEGERS: model} | {f"{INTEGERS}-{shape.name}": model.for_profile(shape.profiles[0]) for shape in model.shapes}
    found = {}
    for method, network in named.items():
        for key, value in sorted(_judged(workspace, windows, network).items()):
            task, _, metric = key.partition("/")
            found[f"{task}/{method}/{metric}"] = value
    return found


def _judged(workspace: Workspace, windows: Windows, model: ElectraModel) -> dict[str, float]:
    rows = held_out(windows, workspace.settings.evaluation.max_windows)
    network = simulate(model.architecture, model.weights, range_windows(windows))
    scoring = calibrate(model, network, normal_windows(model, windows))
    codes = np.asarray(windows.codes[rows])
    verdict = scoring.verdict(codes, network.engine(codes))
    values = {task: gauge.in_unit(verdict.values[task]) for task, gauge in scoring.gauges.items()}
    scores, threshold = (verdict.surprise, float(scoring.threshold)) if model.has_anomaly else (None, None)
    return evaluate(workspace, windows, rows, scores, verdict.classes, values, threshold=threshold)
