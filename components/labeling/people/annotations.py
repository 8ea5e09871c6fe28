"""What people said about windows, as gold labels of one task.

A person's answer for a window is the annotation of exactly that window, or else the segment that holds it whole; of
several the latest. People who cannot tell have no say. A window whose people contradict each other has no gold label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.labeling.people.annotation_file import RANDOM, Annotation, AnnotationFile
from components.values.labels import ABSTAIN
from components.workspace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from components.values import Windows
    from components.workspace import Workspace
    from components.workspace.settings import Task

SILENT = -2
"""In `Answers.by_person`: the person said nothing about the window; `ABSTAIN` is "cannot tell"."""


@dataclass(frozen=True)
class Gold:
    """``values``: (windows,) int8, -1 where nobody said anything, or people contradict each other. ``sampled``: (windows,)
    where somebody was asked about exactly this window because it was drawn at random, and named the class: only these say
    how frequent classes are. ``notes``: what was left out, and what to do about it.
    """

    values: NDArray[np.int8]
    sampled: NDArray[np.bool_]
    notes: list[str]


@dataclass(frozen=True)
class Answers:
    """``by_person``: name -> (windows,) int8: a class, `ABSTAIN` or `SILENT`. ``exact`` and ``random``: name -> (windows,)
    whether one of the person's annotations is of exactly this window, and was drawn at random. ``unused``: annotations
    that hold no window.
    """

    windows: int
    by_person: dict[str, NDArray[np.int8]]
    exact: dict[str, NDArray[np.bool_]]
    random: dict[str, NDArray[np.bool_]]
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

    @property
    def sampled(self) -> NDArray[np.bool_]:
        """(windows,) whether somebody who drew the window at random named the class that all agree on."""
        named = [drawn & (self.by_person[name] >= 0) for name, drawn in self.random.items()]
        return (self.agreed >= 0) & np.logical_or.reduce([np.zeros(self.windows, bool), *named])

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
    return Gold(np.where(windows.train, agreed, ABSTAIN).astype(np.int8), windows.train & answers.sampled, notes)


def read_answers(workspace: Workspace, windows: Windows, task: Task) -> Answers:
    """What each person said about each window, held-out ones too.

    Raises:
        InputError: as `read_annotations`.
    """
    return AnswerReader(workspace, windows, task).read()


@dataclass(frozen=True)
class AnswerReader:
    """For those who read answers again and again: windows are put in order once, and an unchanged file is read once."""

    workspace: Workspace
    windows: Windows
    task: Task
    _last: dict[str, tuple[list[Annotation], Any]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def file(self) -> AnnotationFile:
        return AnnotationFile.of(self.workspace)

    def said(self) -> list[Annotation]:
        """The annotations of this task in the order of the file.

        Raises:
            InputError: as `read_annotations`.
        """
        said: list[Annotation] = self._once("said", self.file.read(), self._mine)
        return said

    def read(self) -> Answers:
        """What each person said about each window, held-out ones too.

        Raises:
            InputError: as `read_annotations`.
        """
        settings = self.workspace.settings
        window_us = round(settings.windows.steps * settings.telemetry.interval_s * 1e6)
        answers: Answers = self._once(
            "answers", self.said(), lambda said: _answers(said, self._places, self.task.vote_classes, window_us)
        )
        return answers

    def _mine(self, annotations: list[Annotation]) -> list[Annotation]:
        mine = [a for a in annotations if a.task == self.task.name]
        check_classes(mine, str(self.file.path), self.task)
        return mine

    def _once(self, what: str, annotations: list[Annotation], make: Callable[[list[Annotation]], Any]) -> Any:
        """What ``make`` made of the same list before, or makes now."""
        last = self._last.get(what)
        if last is None or last[0] is not annotations:
            last = self._last[what] = annotations, make(annotations)
        return last[1]

    @cached_property
    def _places(self) -> _Places:
        return _places(self.windows.index)


def check_classes(annotations: Iterable[Annotation], name: str, task: Task) -> None:
    """Raise InputError for the first of ``task``'s annotations whose value is no class of it."""
    known = {"", *task.vote_classes}
    for a in annotations:
        if a.value not in known:
            hint = f"classes: {', '.join(task.vote_classes)}; an empty value says 'cannot tell'"
            raise InputError(f"{name}, line {a.line}: '{a.value}' is no class of task '{task.name}'", hint=hint)


@dataclass(frozen=True)
class _Places:
    """Windows device by device in time order: ``positions`` (windows,) among all, bounds in microseconds, and from where to
    where each device's stand.
    """

    positions: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    devices: dict[str, tuple[int, int]]


def _places(index: pd.DataFrame) -> _Places:
    import pandas as pd

    codes, names = pd.factorize(index["device_id"])
    starts, ends = (_micros(index[column]) for column in ("start", "end"))
    positions = np.lexsort((starts, codes))
    begins = np.searchsorted(codes[positions], np.arange(len(names) + 1)).tolist()
    devices = {str(name): (a, b) for name, a, b in zip(names, begins, begins[1:], strict=False)}
    return _Places(positions, starts[positions], ends[positions], devices)


def _answers(said: list[Annotation], places: _Places, classes: tuple[str, ...], window_us: int) -> Answers:
    """Later and more exact annotations overwrite."""
    people = {name: number for number, name in enumerate(sorted({a.by for a in said}))}
    numbers = {name: number for number, name in enumerate(classes)} | {"": ABSTAIN}
    start, end, at = np.array([a.micros for a in said], np.int64).reshape(-1, 3).T
    by = np.array([people[a.by] for a in said], np.int64)
    value = np.array([numbers[a.value] for a in said], np.int8)
    first, held = _held(said, places, start, end)
    shape = len(people), len(places.positions)
    values, exact, random = np.full(shape, SILENT, np.int8), np.zeros(shape, bool), np.zeros(shape, bool)

    order = np.lexsort((at, end - start <= window_us))
    each = np.repeat(order, held[order])
    within = np.arange(len(each)) - np.repeat(np.cumsum(held[order]) - held[order], held[order])
    values[by[each], places.positions[first[each] + within]] = value[each]

    one = np.flatnonzero(held == 1)
    one = one[(places.starts[first[one]] == start[one]) & (places.ends[first[one]] == end[one])]
    exact[by[one], places.positions[first[one]]] = True
    drawn = one[np.array([said[n].drawn == RANDOM for n in one], bool)]
    random[by[drawn], places.positions[first[drawn]]] = True
    by_person, was_exact, was_random = (dict(zip(people, rows, strict=True)) for rows in (values, exact, random))
    return Answers(shape[1], by_person, was_exact, was_random, int((held == 0).sum()))


def _held(
    said: list[Annotation], places: _Places, start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(annotations,) the first of the windows that lie inside each whole, by its place, and how many they are."""
    first, held = np.zeros(len(said), np.int64), np.zeros(len(said), np.int64)
    by_device: dict[str, list[int]] = {}
    for number, annotation in enumerate(said):
        by_device.setdefault(annotation.device_id, []).append(number)
    for device in by_device.keys() & places.devices.keys():
        mine, (a, b) = np.array(by_device[device]), places.devices[device]
        first[mine] = a + np.searchsorted(places.starts[a:b], start[mine], "left")
        held[mine] = np.maximum(a + np.searchsorted(places.ends[a:b], end[mine], "right") - first[mine], 0)
    return first, held


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
