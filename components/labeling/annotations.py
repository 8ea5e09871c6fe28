"""What people said about windows, as gold labels of one task.

A person's answer for a window is the annotation of exactly that window, or else the segment that holds it whole; of
several the latest. People who cannot tell have no say. A window whose people contradict each other has no gold label.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.labeling.annotation_file import Annotation, AnnotationFile
from components.values.labels import ABSTAIN
from components.workspace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from components.values import Windows
    from components.workspace import Workspace
    from components.workspace.settings import Task

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SILENT = -2
"""In `Answers.by_person`: the person said nothing about the window; `ABSTAIN` is "cannot tell"."""


@dataclass(frozen=True)
class Gold:
    """``values``: (windows,) int8, -1 where nobody said anything, or people contradict each other. ``notes``: what was
    left out, and what to do about it.
    """

    values: NDArray[np.int8]
    notes: list[str]


@dataclass(frozen=True)
class Answers:
    """``by_person``: name -> (windows,) int8: a class, `ABSTAIN` or `SILENT`. ``unused``: annotations that hold no window."""

    windows: int
    by_person: dict[str, NDArray[np.int8]]
    unused: int

    @property
    def disputed(self) -> NDArray[np.bool_]:
        """(windows,) whether two people name different classes."""
        lowest, highest = self._bounds()
        return (highest >= 0) & (lowest != highest)

    @property
    def agreed(self) -> NDArray[np.int8]:
        """(windows,) int8 the class that all who named one agree on, else -1."""
        lowest, highest = self._bounds()
        return np.where((highest >= 0) & (lowest == highest), highest, ABSTAIN).astype(np.int8)

    def _bounds(self) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        said = np.stack([np.full(self.windows, SILENT, np.int8), *self.by_person.values()])
        return np.where(said < 0, np.int8(127), said).min(axis=0), said.max(axis=0)


def read_annotations(workspace: Workspace, windows: Windows, task: Task) -> Gold:
    """Gold labels of ``task`` from the annotations of the workspace. Held-out windows never get one: nobody learns from them.

    Raises:
        InputError: the file is damaged, or names a class that the task does not have; the message has file and line.
    """
    answers = read_answers(workspace, windows, task)
    agreed = answers.agreed
    notes = _notes(answers, int((windows.test & (agreed >= 0)).sum()), task.name)
    return Gold(np.where(windows.train, agreed, ABSTAIN).astype(np.int8), notes)


def read_answers(workspace: Workspace, windows: Windows, task: Task) -> Answers:
    """What each person said about each window, held-out ones too.

    Raises:
        InputError: as `read_annotations`.
    """
    file = AnnotationFile.of(workspace)
    mine = [a for a in file.read() if a.task == task.name]
    check_classes(mine, str(file.path), task)
    by_person: dict[str, list[Annotation]] = {}
    for annotation in mine:
        by_person.setdefault(annotation.by, []).append(annotation)
    places = _places(windows.index, {a.device_id for a in mine})
    seconds = workspace.settings.windows.steps * workspace.settings.telemetry.interval_s
    filled = {by: _answers(said, places, task.vote_classes, seconds, len(windows)) for by, said in sorted(by_person.items())}
    unused = sum(unused for _, unused in filled.values())
    return Answers(len(windows), {by: values for by, (values, _) in filled.items()}, unused)


def check_classes(annotations: Iterable[Annotation], name: str, task: Task) -> None:
    """Raise InputError for the first of ``task``'s annotations whose value is no class of it."""
    for a in annotations:
        if a.value and a.value not in task.vote_classes:
            hint = f"classes: {', '.join(task.vote_classes)}; an empty value says 'cannot tell'"
            raise InputError(f"{name}, line {a.line}: '{a.value}' is no class of task '{task.name}'", hint=hint)


@dataclass(frozen=True)
class _Place:
    """One device's windows in time order: their positions among all, and their bounds in microseconds."""

    positions: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def _places(index: pd.DataFrame, devices: set[str]) -> dict[str, _Place]:
    mine = np.flatnonzero(index["device_id"].isin(devices).to_numpy())
    starts, ends = (_micros(index[column]) for column in ("start", "end"))
    places = {}
    for device, rows in index.iloc[mine].groupby("device_id", sort=False).indices.items():
        positions = mine[np.asarray(rows)]
        positions = positions[np.argsort(starts[positions], kind="stable")]
        places[str(device)] = _Place(positions, starts[positions], ends[positions])
    return places


def _answers(
    said: list[Annotation], places: dict[str, _Place], classes: tuple[str, ...], seconds: float, windows: int
) -> tuple[NDArray[np.int8], int]:
    """(windows,) one person's answers, and how many annotations hold no window. Later and more exact ones overwrite."""
    values, unused = np.full(windows, SILENT, np.int8), 0
    for a in sorted(said, key=lambda a: ((a.end - a.start).total_seconds() <= seconds, a.at, a.line)):
        place = places.get(a.device_id)
        held = _held(place, a) if place else slice(0, 0)
        if place is None or held.start >= held.stop:
            unused += 1
            continue
        values[place.positions[held]] = classes.index(a.value) if a.value else ABSTAIN
    return values, unused


def _held(place: _Place, annotation: Annotation) -> slice:
    """Which of the device's windows lie inside the annotation whole."""
    start, end = ((time - _EPOCH) // timedelta(microseconds=1) for time in (annotation.start, annotation.end))
    return slice(int(np.searchsorted(place.starts, start, "left")), int(np.searchsorted(place.ends, end, "right")))


def _notes(answers: Answers, held_out: int, task: str) -> list[str]:
    notes = []
    if disputed := int(answers.disputed.sum()):
        notes.append(
            f"{disputed:,} windows have annotations that contradict each other and count as not annotated: "
            f"muster labels annotate --task {task} shows them first, so that one of the people can answer anew"
        )
    if held_out:
        notes.append(f"{held_out:,} annotated windows are held out for evaluation and not learned from")
    if answers.unused:
        notes.append(
            f"{answers.unused:,} annotations hold no window: their device is not in the data, or windows are cut differently now"
        )
    return notes


def _micros(times: pd.Series[Any]) -> NDArray[np.int64]:
    return np.asarray(times.dt.as_unit("us").astype("int64").to_numpy())
