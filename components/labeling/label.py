"""Windows -> one LabelSet for each task that wants labels. The truth kept for evaluation is not read here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.labeling.apply import apply_functions
from components.labeling.functions import load_functions
from components.labeling.gold import gold_labels
from components.labeling.kept import KeptVotes
from components.labeling.model import fit_label_model
from components.labeling.view import WindowView
from components.values import LabelSet
from components.values.labels import ABSTAIN
from components.workspace.files import sha256_json

if TYPE_CHECKING:
    import pandas as pd

    from components.features.columns import Columns
    from components.values import Windows
    from components.workspace import Workspace
    from components.workspace.settings import Task


def _silent(fact: str) -> None:
    """Tell nobody."""


def label(
    workspace: Workspace, windows: Windows, statistics: pd.DataFrame | Columns, tell: Callable[[str], None] = _silent
) -> list[LabelSet]:
    """Label sets in the order of the tasks; a task with ``labels: none`` has none.

    The label model is fitted on training windows and applied to all. ``tell`` hears how many functions had to run.

    Raises:
        InputError: a labelling function or a gold file breaks its contract; the message names file and line.
    """
    view = WindowView.of(workspace, windows, statistics)
    sets = []
    for task in workspace.settings.tasks:
        if task.labels == "weak":
            sets.append(_weak_labels(workspace, windows, view, task, tell))
        elif task.labels == "gold":
            sets.append(gold_labels(workspace, windows, task))
    return sets


def _weak_labels(workspace: Workspace, windows: Windows, view: WindowView, task: Task, tell: Callable[[str], None]) -> LabelSet:
    functions = load_functions(workspace, task)
    applied = apply_functions(functions, task.vote_classes, view, KeptVotes.of(workspace, view.columns))
    votes = applied.votes
    tell(f"{task.name}: functions run: {len(applied.ran)} of {len(functions)}")
    model = fit_label_model(votes[windows.train], len(task.vote_classes))
    probabilities, covered = model.probabilities(votes)
    return LabelSet(
        task=task.name,
        classes=task.vote_classes,
        functions=tuple(f.name for f in functions),
        votes=votes,
        probabilities=smoothed(probabilities, covered, windows.index, workspace.settings.labeling.smoothing_steps),
        covered=covered,
        gold=np.full(len(windows), ABSTAIN, np.int8),
        decision_weights=(1.0,) * len(task.vote_classes),
        source="weak",
        facts={"version": sha256_json([model.shares.tolist(), model.theta.tolist()]), "chosen": "blend"}
        | {"faults": [asdict(fault) for fault in applied.faults]},
    )


def smoothed(
    probabilities: NDArray[np.float32], covered: NDArray[np.bool_], index: pd.DataFrame, steps: int
) -> NDArray[np.float32]:
    """Mean over up to ``steps`` neighbouring covered windows of the same device, centred; an uncovered window lends nothing.

    States of machines last longer than a window, rules err on single windows.
    """
    if steps == 1:
        return probabilities
    device = index["device_id"].to_numpy()
    total = np.zeros(probabilities.shape, np.float64)
    weight = np.zeros(len(probabilities))
    for shift in range(-((steps - 1) // 2), steps // 2 + 1):
        here = slice(max(-shift, 0), len(device) - max(shift, 0))
        there = slice(max(shift, 0), len(device) - max(-shift, 0))
        lends = covered[there] & (device[here] == device[there])
        total[here] += np.where(lends[:, None], probabilities[there], 0.0)
        weight[here] += lends
    kept = covered & (weight > 0)
    return np.where(kept[:, None], total / np.maximum(weight, 1)[:, None], probabilities).astype(np.float32)
