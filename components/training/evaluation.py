"""Judge scores and classes of held-out windows against the truth, by the protocol of docs/evaluation.md.

The truth is read here and nowhere else. It is a CSV of segments: device_id, start, end (end exclusive), task,
value. For the anomaly task any segment is an anomaly; for a classes task ``value`` is the class, and time
outside all segments belongs to the task's first class; for a regression ``value`` is the number, and windows whose last
step is in no segment are not judged (`components.training.numbers`).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.features.segments import read_segments
from components.training.numbers import number_metrics, true_numbers
from components.training.placing import placed, runs, seconds, step_truth
from components.training.vus import vus_pr
from components.workspace.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from components.values import Windows
    from components.workspace import Workspace

DAY_S = 86_400.0


def evaluate(
    workspace: Workspace,
    windows: Windows,
    rows: NDArray[np.int64],
    scores: NDArray[Any] | None,
    classes: dict[str, NDArray[np.int8]],
    values: Mapping[str, NDArray[np.float64]] = MappingProxyType({}),
    *,
    threshold: float | None = None,
) -> dict[str, float]:
    """Metrics of the windows ``rows`` (positions in ``windows``), empty when the workspace declares no truth.

    ``scores``: (rows,) higher is more anomalous. ``classes``: task -> (rows,) predicted class. ``values``: regression
    task -> (rows,) predicted number in its unit.
    Keys: `anomaly/vus_pr`, `<task>/macro_f1`, those of `number_metrics`, and with ``threshold`` `anomaly/event_precision`,
    `anomaly/event_recall`, `anomaly/alarms_per_device_day`.
    """
    truth = read_truth(workspace)
    if truth is None:
        return {}
    index = windows.index.iloc[rows]
    metrics: dict[str, float] = {}
    for task in workspace.settings.tasks:
        segments = truth[truth["task"] == task.name]
        if task.kind == "anomaly" and scores is not None:
            metrics |= {f"{task.name}/{k}": v for k, v in _anomaly(workspace, index, segments, scores, threshold).items()}
        elif task.kind == "classes" and task.name in classes:
            wanted = window_classes(index, segments, task.classes)
            metrics[f"{task.name}/macro_f1"] = macro_f1(wanted, classes[task.name], len(task.classes))
        elif task.range and task.name in values:
            right = true_numbers(index, segments, task.range, workspace.settings.telemetry.interval_s)
            metrics |= {f"{task.name}/{k}": v for k, v in number_metrics(index, right, values[task.name], task.unit).items()}
    return metrics


def read_truth(workspace: Workspace) -> pd.DataFrame | None:
    """The segments of `evaluation.truth`, or None when none is declared."""
    if workspace.settings.evaluation.truth is None:
        return None
    return read_segments(workspace.path(workspace.settings.evaluation.truth), ("task", "value"))


def window_classes(index: pd.DataFrame, segments: pd.DataFrame, classes: tuple[str, ...]) -> NDArray[np.int8]:
    """(windows,) class of each window: the segment value that covers most of it, if it covers half; else class 0."""
    best = np.zeros(len(index), np.int8)
    most = np.full(len(index), 0.5)
    for value, touched, share in _overlaps(index, segments):
        if value not in classes:
            raise InputError(f"value '{value}' is none of the classes {', '.join(classes)}", hint="mend the segments or the task")
        wins = share >= most[touched]
        best[touched[wins]] = classes.index(value)
        most[touched[wins]] = share[wins]
    return best


def macro_f1(wanted: NDArray[np.int8], got: NDArray[np.int8], k: int) -> float:
    """Mean F1 over the classes that occur in ``wanted`` or ``got``."""
    scores = []
    for c in range(k):
        hit, said, is_c = int(((wanted == c) & (got == c)).sum()), int((got == c).sum()), int((wanted == c).sum())
        if said or is_c:
            scores.append(2 * hit / (said + is_c))
    return float(np.mean(scores)) if scores else 0.0


def _anomaly(
    workspace: Workspace, index: pd.DataFrame, segments: pd.DataFrame, scores: NDArray[Any], threshold: float | None
) -> dict[str, float]:
    """VUS-PR a device, averaged over the devices that have an anomaly; events over all devices together.

    Time that no window covers, because nothing was sent or because it was trained on, is neither found nor missed.
    """
    interval = workspace.settings.telemetry.interval_s
    areas: list[float] = []
    events = np.zeros(4)  # true events, found events, alarms, right alarms
    days = 0.0
    for device, positions in index.reset_index(drop=True).groupby("device_id", sort=True).indices.items():
        part, mine = index.iloc[positions], np.asarray(scores)[positions]
        place = placed(part, interval, workspace.settings.windows.core)
        covered = place.covered(np.ones(len(part), bool))
        wanted = step_truth(place, segments[segments["device_id"] == device], interval)
        got = place.mean(mine)
        if wanted[covered].any() and not wanted[covered].all():
            areas.append(vus_pr(wanted[covered], got[covered], workspace.settings.evaluation.buffer_steps))
        if threshold is not None:
            events += _events(wanted, got >= threshold, covered)
        days += covered.sum() * interval / DAY_S
    metrics = {"vus_pr": float(np.mean(areas))} if areas else {}
    if threshold is not None:
        metrics["event_recall"] = float(events[1] / max(events[0], 1))
        metrics["event_precision"] = float(events[3] / max(events[2], 1))
        metrics["alarms_per_device_day"] = float(events[2] / max(days, 1e-9))
    return metrics


def _events(wanted: NDArray[np.int8], alarm: NDArray[np.bool_], covered: NDArray[np.bool_]) -> NDArray[np.float64]:
    """True events that a window has any of, those found, alarms, and those that are right; a gap splits no event."""
    truth = [(a, b) for a, b in runs(wanted.astype(bool)) if covered[a:b].any()]
    alarm = alarm & covered
    alarms = runs(alarm)
    found = sum(bool(alarm[a:b].any()) for a, b in truth)
    right = sum(bool(wanted[a:b].any()) for a, b in alarms)
    return np.asarray([len(truth), found, len(alarms), right], float)


def _overlaps(index: pd.DataFrame, segments: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.float64]]]:
    """Yield (segment value, positions of its device's windows that it touches, share of each window that it covers)."""
    start, end = seconds(index["start"]), seconds(index["end"])
    positions = index.reset_index(drop=True).groupby("device_id").indices
    for device, first, last, value in zip(
        segments["device_id"], seconds(segments["start"]), seconds(segments["end"]), segments["value"], strict=True
    ):
        mine = np.asarray(positions.get(device, ()), np.int64)
        covered = (np.minimum(end[mine], last) - np.maximum(start[mine], first)) / (end[mine] - start[mine])
        yield value, mine[covered > 0], covered[covered > 0]
