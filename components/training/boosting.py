"""Boosted trees as the model of a workspace, on the integer features that devices compute.

Each labelled task has its trees. Those that score anomalies never learn from the calibration windows, which set the
threshold, and stop growing where those see no gain. All others learn from every training window, because the last windows
of a device may hold states that come at no other time. Decisions, threshold and metrics are about the trees in integers:
what is evaluated is what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.runtime.surprise import Outputs
from components.runtime.trees import LEAF_BITS, Trees, gauge_of, raw_score, tree_outputs
from components.runtime.window_features import window_features
from components.training.compare import FLOAT_BOOSTING, Judged, Metrics, baselines, compared, label_facts, target_facts
from components.training.decisions import settled
from components.training.grow import Features, grow_classes, grow_numbers
from components.training.train import Rows, check_enough, false_alarm_share, heads_of, rows_of
from components.values import BoostedModel, Head, LabelSet, Targets, Windows
from components.workspace import Workspace
from components.workspace.errors import InputError
from components.workspace.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from components.training.train import Progress


def boost(
    workspace: Workspace,
    windows: Windows,
    labels: list[LabelSet],
    targets: Sequence[Targets],
    statistics: pd.DataFrame,
    progress: Progress,
) -> BoostedModel:
    """Windows, the labels of each labelled task and the numbers of each regression -> trees with their metrics.

    ``statistics``: one row a window, for the float baseline beside them. Deterministic given the workspace's seed.

    Raises:
        InputError: too few training windows, or a task that not one of them teaches anything about.
    """
    settings = workspace.settings
    rows = rows_of(windows, labels)
    check_enough(windows, rows, labels)
    trees = _grow(settings, window_features(windows.codes), labels, targets, rows, progress)
    quiet = rows.quiet if len(rows.quiet) else rows.clean
    share = false_alarm_share(workspace)
    model = BoostedModel(
        name=settings.name,
        channels=windows.channels,
        converter=windows.converter,
        calibration=windows.calibration,
        core=settings.windows.core,
        has_anomaly=any(task.kind == "anomaly" for task in settings.tasks),
        false_alarm_share=share,
        metrics={},
        labels={label.task: label_facts(label, windows.train) for label in labels}
        | {target.task: target_facts(target, windows.train) for target in targets},
        trees=trees,
        scored=scored_task(settings),
        decides=heads_of(workspace),
        quiet=quiet,
        window_steps=windows.codes.shape[1],
    )
    threshold = float(np.quantile(judge(model, windows.codes[quiet]).scores, 1 - share))

    def others() -> Metrics:
        return baselines(workspace, windows, labels, targets, statistics, rows.clean, FLOAT_BOOSTING)

    def ours(test: NDArray[np.int64]) -> Judged:
        return judge(model, windows.codes[test])

    metrics = compared(workspace, windows, ours, BoostedModel.kind, threshold, others, progress)
    return replace(model, metrics=metrics, threshold=threshold)


def judge(model: BoostedModel, codes: NDArray[np.int8]) -> Judged:
    """(windows, steps, channels) int8 codes -> what the trees say."""
    outputs = tree_outputs(model.trees, codes)
    scores = np.asarray(raw_score(model.scored, outputs, len(codes)) / 256.0)
    classes = {head.task: outputs.logits[head.task].argmax(axis=1).astype(np.int8) for head in model.heads if head.classes}
    return Judged(scores, classes, tree_values(model.heads, outputs))


def tree_values(heads: tuple[Head, ...], outputs: Outputs) -> dict[str, NDArray[np.float64]]:
    """Regression task -> (windows,) values in its unit."""
    gauges = {head.task: gauge_of(head.range) for head in heads if not head.classes}
    return {task: gauge.in_unit(gauge.values(outputs.numbers[task])) for task, gauge in gauges.items()}


def scored_task(settings: Settings) -> str:
    """The task whose normal class is the measure of anomalies: a weakly labelled one, the anomaly task itself first.

    Of a model without an anomaly task just the first that has classes, '' where none has.
    """
    tasks = [task for task in settings.tasks if task.labels == "weak"] or [task for task in settings.tasks if task.votes]
    return min(tasks, key=lambda task: task.kind != "anomaly").name if tasks else ""


def _grow(
    settings: Settings,
    features: Features,
    labels: list[LabelSet],
    targets: Sequence[Targets],
    rows: Rows,
    progress: Progress,
) -> dict[str, Trees]:
    trees: dict[str, Trees] = {}
    everything, count = np.concatenate([rows.fit, rows.calibration]), len(labels) + len(targets)
    held_back = scored_task(settings) if any(task.kind == "anomaly" for task in settings.tasks) else ""
    for label in labels:
        progress("grow trees", len(trees), count)
        parts = (rows.fit, rows.calibration) if label.task == held_back else (everything, everything[:0])
        trees[label.task] = _settled(grow_classes(settings, features, label, *parts), features, label, rows)
    for target in targets:
        progress("grow trees", len(trees), count)
        if not target.covered[everything].any():
            raise InputError(f"task '{target.task}': not one training window has a number", hint="mend its gold file")
        trees[target.task] = grow_numbers(settings, features, target, everything)
    progress("grow trees", count, count)
    return trees


def _settled(trees: Trees, features: Features, label: LabelSet, rows: Rows) -> Trees:
    """The same trees with biases that make decisions follow the labels."""
    unit = np.log(2.0) / (1 << LEAF_BITS)
    shift = settled(lambda some: trees.logits(features[some]) * unit, label, rows.fit, rows.calibration)
    return replace(trees, bias=trees.bias + np.rint(shift / unit).astype(np.int32))
