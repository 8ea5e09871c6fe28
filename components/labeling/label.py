"""Windows -> one LabelSet for each task that wants classes, Targets for each regression. The truth is not read here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.labeling.functions.apply import apply_functions
from components.labeling.functions.declaring import load_functions
from components.labeling.functions.kept import KeptVotes
from components.labeling.functions.view import WindowView
from components.labeling.model import fit_label_model
from components.labeling.people.annotations import read_annotations
from components.labeling.people.gold import gold_labels
from components.labeling.people.targets import gold_targets
from components.values import LabelSet, Targets
from components.values.labels import ABSTAIN
from components.workspace.errors import InputError

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
    """Label sets in the order of the tasks; a task with ``labels: none`` has none, a regression has `Targets`.

    The label model is fitted on training windows, with what people said about them, and applied to all. ``tell``
    hears how many functions had to run.

    Raises:
        InputError: a labelling function, an annotation or a gold file breaks its contract; the message names file and line.
    """
    view = WindowView.of(workspace, windows, statistics)
    sets = []
    for task in workspace.settings.tasks:
        if task.labels == "weak":
            sets.append(_weak_labels(workspace, windows, view, task, tell))
        elif task.votes:
            sets.append(gold_labels(workspace, windows, task))
    return sets


def targets(workspace: Workspace, windows: Windows) -> list[Targets]:
    """What people declared for each regression task, in the order of the tasks.

    Raises:
        InputError: a gold file breaks its contract; the message names file and line.
    """
    return [gold_targets(workspace, windows, task) for task in workspace.settings.tasks if task.kind == "regression"]


def _weak_labels(workspace: Workspace, windows: Windows, view: WindowView, task: Task, tell: Callable[[str], None]) -> LabelSet:
    functions = load_functions(workspace, task)
    applied = apply_functions(functions, task.vote_classes, view, KeptVotes.of(workspace, view.columns))
    votes = applied.votes
    tell(f"{task.name}: functions run: {len(applied.ran)} of {len(functions)}")
    gold = read_annotations(workspace, windows, task)
    train, follow = windows.train, workspace.settings.labeling.temporal
    if not (votes[train] != ABSTAIN).any():
        raise InputError(
            f"no labelling function of task '{task.name}' votes on a training window", hint="muster data profile shows the ranges"
        )
    model = fit_label_model(
        votes[train],
        len(task.vote_classes),
        shares=np.asarray(task.class_shares) if task.class_shares else None,
        gold=gold.values[train],
        sequences=sequences(workspace, windows.index[train]) if follow else None,
        sampled=gold.sampled[train],
    )
    probabilities, covered = model.probabilities(votes, sequences(workspace, windows.index) if follow else None, gold=gold.values)
    names = tuple(f.name for f in functions)
    facts = model.facts(names, task.vote_classes)
    facts["notes"] += gold.notes
    for function, fact in zip(functions, facts["functions"], strict=True):
        fact["votes"] = list(task.vote_classes if function.votes is None else (function.votes,))
        fact["description"] = function.description
    return LabelSet(
        task=task.name,
        classes=task.vote_classes,
        functions=names,
        votes=votes,
        probabilities=probabilities,
        covered=covered,
        gold=gold.values,
        sampled=gold.sampled,
        decision_weights=model.decision_weights,
        source="weak",
        facts=facts | {"faults": [asdict(fault) for fault in applied.faults]},
    )


def sequences(workspace: Workspace, index: pd.DataFrame) -> NDArray[np.int64]:
    """(windows,) ids of spells: windows of one device that follow each other at the stride, none left out."""
    settings = workspace.settings
    device = index["device_id"].to_numpy()
    start = index["start"].dt.as_unit("us").astype("int64").to_numpy()
    stride = settings.windows.stride * settings.telemetry.interval_s * 1e6
    breaks = np.ones(len(index), bool)
    breaks[1:] = (device[1:] != device[:-1]) | (np.diff(start) > 1.5 * stride)
    return np.asarray(np.cumsum(breaks))
