"""What each network reaches on what is held out in simulated integers, as devices compute, before anything is compiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.models.calibration import calibrate
from components.models.selection import held_out, normal_windows, own_windows, range_windows
from components.models.simulation import simulate
from components.runtime.surprise import Calibrated, Verdict
from components.training.evaluation import evaluate, read_truth
from components.training.judging.methods import Method
from components.values import ElectraModel, Windows

if TYPE_CHECKING:
    from components.workspace import Workspace

Rows = NDArray[np.int64]
INTEGERS = "int8"
"""What the trained network in integers is called beside itself; a shape goes by `int8-<its name>`."""


def in_integers(workspace: Workspace, windows: Windows, model: ElectraModel) -> dict[str, float]:
    """`<task>/<int8 or int8-shape>/<metric>` on held-out windows of up to `evaluation.max_windows`; empty without a truth."""
    if read_truth(workspace) is None or not windows.test.any():
        return {}
    found = {}
    for one, rows in networks_in_integers(windows, held_out(windows, workspace.settings.evaluation.max_windows), model):
        metrics = evaluate(workspace, windows, rows, one.scores, one.classes, one.values, threshold=one.threshold)
        for name, value in sorted(metrics.items()):
            task, _, metric = name.partition("/")
            found[f"{task}/{one.name}/{metric}"] = value
    return found


def networks_in_integers(windows: Windows, rows: Rows, model: ElectraModel) -> Iterator[tuple[Method, Rows]]:
    """What each network says of the held-out ``rows``, rising, and of which of them.

    A network that knows device types computes each window as devices of its type do; one that was made for such a type speaks
    for windows from there alone.
    """
    groups = [("", "", rows)]
    if model.architecture.types:
        profiles = windows.profiles[rows].astype(str)
        groups = [(str(profile), "", rows[profiles == profile]) for profile in np.unique(profiles)]
    yield _together(INTEGERS, windows, model, groups), rows
    for shape in model.shapes:
        mine = own_windows(model, windows, shape.profiles[0])
        own = rows if mine is None else rows[mine[rows]]
        if len(own):
            yield _together(f"{INTEGERS}-{shape.name}", windows, model, [(shape.profiles[0], shape.name, own)]), own


def _together(name: str, windows: Windows, model: ElectraModel, groups: list[tuple[str, str, Rows]]) -> Method:
    """``groups``: profile, shape and the rows that its devices would judge; '' stands for the trained network as it is."""
    said = [_said(windows, model, *group) for group in groups]
    order = np.argsort(np.concatenate([mine for *_, mine in groups]), kind="stable")
    scoring, verdicts = said[0][0], [verdict for _, verdict in said]
    classes = {task: np.concatenate([v.classes[task] for v in verdicts])[order] for task in verdicts[0].classes}
    values = {task: np.concatenate([s.gauges[task].in_unit(v.values[task]) for s, v in said])[order] for task in scoring.gauges}
    if not model.has_anomaly:
        return Method(name, None, None, classes, values)
    surprise = np.concatenate([v.surprise for v in verdicts])[order].astype(np.float64)
    return Method(name, surprise, float(scoring.threshold), classes, values)


def _said(windows: Windows, model: ElectraModel, profile: str, shape: str, rows: Rows) -> tuple[Calibrated, Verdict]:
    mine = own_windows(model, windows, profile)
    model = model.for_profile(profile, shape) if shape else model.trained_for(profile)
    network = simulate(model.architecture, model.weights, range_windows(windows, mine))
    scoring = calibrate(model, network, normal_windows(model, windows, mine))
    codes = np.asarray(windows.codes[rows])
    return scoring, scoring.verdict(codes, network.engine(codes))
