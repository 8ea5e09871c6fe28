"""Metrics on what is held out: the trained model, and beside it what people use today."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.training.baselines import DETECTORS, boosted_numbers, gradient_boosting
from components.training.evaluation import evaluate, read_truth
from components.values import LabelSet, Targets, Windows
from components.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from components.training.train import Progress

BASELINE, FLOAT_BOOSTING = "gradient_boosting", "float_boosting"
"""What the boosting baseline is called beside a network, and beside boosted trees."""


Metrics = dict[str, dict[str, float]]
"""Method -> name of a metric -> value."""


@dataclass(frozen=True)
class Judged:
    """What a model says of windows: (windows,) log2 scores, task -> (windows,) class, and task -> (windows,) number."""

    scores: NDArray[np.float64]
    classes: dict[str, NDArray[np.int8]]
    values: dict[str, NDArray[np.float64]]


def compared(
    workspace: Workspace,
    windows: Windows,
    judge: Callable[[NDArray[np.int64]], Judged],
    method: str,
    threshold: float,
    others: Callable[[], Metrics],
    progress: Progress,
) -> dict[str, float]:
    """`<task>/<method>/<metric>` for the model and what is beside it; empty without a truth.

    ``judge``: what the model says of rows. ``method``: what it is called. ``others``: waits for those of `baselines`.
    """
    test = np.flatnonzero(windows.test)
    if read_truth(workspace) is None or not len(test):
        return {}
    progress("evaluate", 0, 2)
    ours = judge(test)
    found = {method: evaluate(workspace, windows, test, ours.scores, ours.classes, ours.values, threshold=threshold)}
    progress("evaluate", 1, 2)
    found |= others()
    progress("evaluate", 2, 2)
    return {
        f"{key.split('/')[0]}/{method}/{key.split('/')[1]}": value
        for method, metrics in found.items()
        for key, value in sorted(metrics.items())
    }


def baselines(
    workspace: Workspace,
    windows: Windows,
    labels: list[LabelSet],
    targets: Sequence[Targets],
    statistics: pd.DataFrame,
    clean: NDArray[np.int64],
    boosting: str,
) -> Metrics:
    """`DETECTORS`, fitted on the rows ``clean``, and boosting on float statistics, which is called ``boosting``; nothing
    without a truth.
    """
    test = np.flatnonzero(windows.test)
    if read_truth(workspace) is None or not len(test):
        return {}
    found = {}
    if any(task.kind == "anomaly" for task in workspace.settings.tasks):
        for name, fit in DETECTORS.items():
            score = fit(windows.codes, clean, workspace.settings.seed)
            found[name] = evaluate(workspace, windows, test, score(windows.codes[test]), {})
    found[boosting] = _boosted(workspace, windows, labels, targets, statistics, test)
    return found


def label_facts(label: LabelSet, train: NDArray[np.bool_]) -> dict[str, Any]:
    """Where the labels of a task came from and how sure they are, over the training windows; kept with the model.

    ``coverage``: share of windows with a label. ``entropy``: mean over those, 0 sure to 1 clueless.
    """
    covered = label.covered & train
    return {
        "source": label.source,
        "version": str(label.facts.get("version", "")),
        "model": str(label.facts.get("chosen", "")),
        "coverage": round(float(label.covered[train].mean()), 4),
        "entropy": round(float(label.entropy[covered].mean()), 4),
    }


def target_facts(target: Targets, train: NDArray[np.bool_]) -> dict[str, Any]:
    """The same of a regression; ``clipped``: share of the training windows whose number lay outside the range."""
    return {
        "source": "gold",
        "version": str(target.facts.get("version", "")),
        "coverage": round(float(target.covered[train].mean()), 4),
        "clipped": round(int(target.facts.get("clipped", 0)) / max(int(train.sum()), 1), 4),
    }


def _boosted(
    workspace: Workspace,
    windows: Windows,
    labels: list[LabelSet],
    targets: Sequence[Targets],
    statistics: pd.DataFrame,
    test: NDArray[np.int64],
) -> dict[str, float]:
    """Boosting needs labels: classes and numbers where a task has them, and one minus the normal class as anomaly score."""
    fit = np.flatnonzero(windows.train)
    settings = workspace.settings
    classes: dict[str, NDArray[np.int8]] = {}
    scores = None
    for label in labels:
        boosted = gradient_boosting(statistics, label, fit, settings.seed, settings.model.threads)
        probabilities = boosted(statistics.iloc[test])
        if any(t.name == label.task and t.kind == "classes" for t in settings.tasks):
            classes[label.task] = (probabilities * label.decision_weights).argmax(axis=1).astype(np.int8)
        if label.source == "weak":
            scores = 1.0 - probabilities[:, 0]
    values = {
        target.task: boosted_numbers(statistics, target, settings.seed, settings.model.threads)(statistics.iloc[test])
        for target in targets
    }
    return evaluate(workspace, windows, test, scores, classes, values)
