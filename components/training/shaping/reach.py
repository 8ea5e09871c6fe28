"""What each network reaches on what is held out in simulated integers, as devices compute, before anything is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.models.calibration import calibrate
from components.models.selection import held_out, normal_windows, own_windows, range_windows
from components.models.simulation import simulate
from components.runtime.surprise import Calibrated, Verdict
from components.training.evaluation import evaluate, read_truth
from components.values import ElectraModel, Windows

if TYPE_CHECKING:
    from components.workspace import Workspace

INTEGERS = "int8"
"""What the trained network in integers is called beside itself; a shape goes by `int8-<its name>`."""


def in_integers(workspace: Workspace, windows: Windows, model: ElectraModel) -> dict[str, float]:
    """`<task>/<int8 or int8-shape>/<metric>` on held-out windows of up to `evaluation.max_windows`; empty without a truth.

    A network that knows device types computes each window as devices of its type do.
    """
    if read_truth(workspace) is None or not windows.test.any():
        return {}
    rows = held_out(windows, workspace.settings.evaluation.max_windows)
    groups = [("", rows)]
    if model.architecture.types:
        profiles = windows.profiles[rows].astype(str)
        groups = [(str(profile), rows[profiles == profile]) for profile in np.unique(profiles)]
    found = _named(INTEGERS, _judged(workspace, windows, model, groups))
    for shape in model.shapes:
        mine = own_windows(model, windows, shape.profiles[0])
        own = [(shape.profiles[0], rows if mine is None else rows[mine[rows]])]
        if len(own[0][1]):
            found |= _named(f"{INTEGERS}-{shape.name}", _judged(workspace, windows, model, own))
    return found


def _named(method: str, metrics: dict[str, float]) -> dict[str, float]:
    parts = {name: name.partition("/") for name in sorted(metrics)}
    return {f"{task}/{method}/{metric}": metrics[name] for name, (task, _, metric) in parts.items()}


def _judged(
    workspace: Workspace, windows: Windows, model: ElectraModel, groups: list[tuple[str, NDArray[np.int64]]]
) -> dict[str, float]:
    """``groups``: profile and the rows that its devices would judge; '' stands for the trained network as it is."""
    said = [_said(windows, model, *group) for group in groups]
    rows = np.concatenate([mine for _, mine in groups])
    order = np.argsort(rows, kind="stable")
    scoring = said[0][0]
    verdicts = [verdict for _, verdict in said]
    classes = {task: np.concatenate([v.classes[task] for v in verdicts])[order] for task in verdicts[0].classes}
    values = {task: np.concatenate([s.gauges[task].in_unit(v.values[task]) for s, v in said])[order] for task in scoring.gauges}
    surprise = np.concatenate([v.surprise for v in verdicts])[order]
    scores, threshold = (surprise, float(scoring.threshold)) if model.has_anomaly else (None, None)
    return evaluate(workspace, windows, rows[order], scores, classes, values, threshold=threshold)


def _said(windows: Windows, model: ElectraModel, profile: str, rows: NDArray[np.int64]) -> tuple[Calibrated, Verdict]:
    mine = own_windows(model, windows, profile)
    model = model.for_profile(profile)
    network = simulate(model.architecture, model.weights, range_windows(windows, mine))
    scoring = calibrate(model, network, normal_windows(model, windows, mine))
    codes = np.asarray(windows.codes[rows])
    return scoring, scoring.verdict(codes, network.engine(codes))
