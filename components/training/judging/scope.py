"""What is judged: windows with labels that nothing learned from, and what there is to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.features.segments import touching
from components.training.judging.detector import Detector, untyped
from components.training.judging.labels import Truth, read_labels
from components.training.judging.methods import Lesson, first_windows, workspace_lesson
from components.training.judging.telemetry import read_windows
from components.values import Windows
from components.workspace.errors import InputError

if TYPE_CHECKING:
    from components.workspace import Workspace


@dataclass(frozen=True)
class Scope:
    """``windows``: all of the data. ``rows``: positions of those that are judged, rising. ``notes``: what is left out."""

    windows: Windows
    rows: NDArray[np.int64]
    truth: Truth
    lesson: Lesson
    interval_s: float
    notes: tuple[str, ...]


def settle(
    detector: Detector, data: Path, labels: Path, workspace: Workspace | None, train_share: float, held_out: bool
) -> Scope:
    """Read data and labels, and settle which windows are judged.

    Raises:
        NotFound: a file is not there.
        InputError: files break the contract, labels share no device or no time with the data, or nothing is left to judge.
    """
    windows, contract = read_windows(detector, data, workspace)
    truth = read_labels(labels, detector, contract.telemetry)
    lesson = workspace_lesson(workspace, detector) if workspace else None
    left = np.ones(len(windows), bool)
    if lesson is None:
        lesson, left = first_windows(windows, train_share)
    judged, notes = _judged(windows, truth, labels)
    seen = _seen(windows, lesson, held_out)
    rows = np.flatnonzero(left & judged & ~(seen & held_out))
    if not len(rows):
        raise InputError("no labelled window is left to judge", hint="bring other telemetry, or a smaller --train-share")
    notes = [
        *contract.notes,
        *truth.notes,
        *notes,
        *untyped(detector, windows.profiles[rows]),
        f"baselines learned from {lesson.source}",
    ]
    if again := int(seen[rows].sum()):
        notes.append(f"{again:,} of {len(rows):,} judged windows were trained on, which flatters the model; see --held-out")
    return Scope(windows, rows, truth, lesson, contract.telemetry.interval_s, tuple(notes))


def _judged(windows: Windows, truth: Truth, file: Path) -> tuple[NDArray[np.bool_], list[str]]:
    """(windows,) whether labels say anything of a window, and what they leave out."""
    devices = set(windows.index["device_id"])
    named = set(truth.segments["device_id"] if truth.judged is None else truth.judged["device_id"])
    if named and not named & devices:
        examples = [", ".join(sorted(names)[:3]) for names in (named, devices)]
        raise InputError(
            f"{file}: no device of the data: the labels name {examples[0]}, the data {examples[1]}",
            hint="give labels of these devices",
        )
    spans = truth.segments if truth.judged is None else truth.judged
    mine = spans[spans["device_id"].isin(devices)]
    first, last = windows.index["start"].min(), windows.index["end"].max()
    if len(mine) and not ((mine["start"] < last) & (mine["end"] > first)).any():
        raise InputError(
            f"{file}: labels from {mine['start'].min()} to {mine['end'].max()}, telemetry from {first} to {last}",
            hint="give labels of the same time; check the time column and its epoch",
        )
    unlabelled = len(devices - named)
    left_out = f"{unlabelled:,} of {len(devices):,} devices have no "
    if truth.judged is None:
        notes = [left_out + "segment: all their time counts as normal"] if unlabelled else []
        return np.ones(len(windows), bool), notes
    spans = mine.set_index("device_id")
    begin, end = (windows.index["device_id"].map(spans[name]) for name in ("start", "end"))
    inside = np.asarray((windows.index["start"] >= begin) & (windows.index["end"] <= end))
    return inside, [left_out + "label and were left out"] if unlabelled else []


def _seen(windows: Windows, lesson: Lesson, wanted: bool) -> NDArray[np.bool_]:
    """(windows,) whether a window shares time with one that the model may have been trained on."""
    if lesson.seen is not None:
        return touching(windows.index, lesson.seen)
    if wanted:
        raise InputError("what is held out is not known", hint="name a --workspace with out/features")
    return np.zeros(len(windows), bool)
