"""What a person is asked next, and what becomes of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.labeling.people.active import select_windows
from components.labeling.people.annotation_file import RANDOM, WORTH, Annotation, AnnotationFile
from components.labeling.people.annotations import SILENT, AnswerReader, read_answers
from components.labeling.people.excerpt import Excerpt, excerpt
from components.values import LabelSet, Windows
from components.values.labels import ABSTAIN
from components.workspace.errors import InputError, NotFound
from components.workspace.files import sha256_json

if TYPE_CHECKING:
    from components.workspace import Workspace
    from components.workspace.settings import Task

EVERY = 4
"""Of a person's questions, one in so many is about a window drawn at random: only these say how frequent classes are."""


@dataclass(frozen=True)
class Question:
    """One window to judge. ``votes``: (function, class it names) of those that speak. ``disputed``: (person, class)."""

    position: int
    device_id: str
    start: datetime
    end: datetime
    context: str
    shown: Excerpt
    votes: tuple[tuple[str, str], ...]
    disputed: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Session:
    """One person at one task. Holds no answers itself: they are in the annotation file as soon as they are given.

    ``order``: positions of the windows to ask about, disputed ones first, then those most worth it; as many questions
    make a round. Every `EVERY`th is about a window drawn at random instead, and nothing shows which.
    """

    workspace: Workspace
    task: Task
    windows: Windows
    labels: LabelSet
    by: str
    began: datetime
    order: NDArray[np.int64]

    @property
    def file(self) -> AnnotationFile:
        return self._reader.file

    @cached_property
    def _reader(self) -> AnswerReader:
        return AnswerReader(self.workspace, self.windows, self.task)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.task.vote_classes

    def question(self) -> Question | None:
        """The next window that waits for an answer, None when all are answered or the round is over."""
        if self.answered() >= len(self.order):
            return None
        answers, drawn = self._reader.read(), self._drawn()
        if drawn is not None:
            return self._about(drawn, answers.by_person)
        mine = answers.by_person.get(self.by, np.full(len(self.windows), SILENT, np.int8))
        new = (answers.agreed < 0) & (mine == SILENT)
        waiting = np.where(answers.disputed, ~self._settled_again(answers.disputed), new)[self.order]
        if not waiting.any():
            return None
        return self._about(int(self.order[int(waiting.argmax())]), answers.by_person)

    def answer(self, position: int, value: str) -> Annotation:
        """Keep the answer ``value`` (a class, '' for "cannot tell") for a window; when this returns it is on disk.

        Raises:
            InputError: no such window or class, or the file cannot be written.
        """
        if not 0 <= position < len(self.windows) or value not in {"", *self.classes}:
            raise InputError(f"no window {position} or no class '{value}'", hint="go back to the page and answer again")
        row = self.windows.index.iloc[position]
        start, end = row["start"].to_pydatetime(), row["end"].to_pydatetime()
        drawn = RANDOM if position == self._drawn() else WORTH
        given = Annotation(row["device_id"], start, end, self.task.name, value, self.by, datetime.now(UTC), drawn)
        self.file.add(given)
        return given

    def undo(self) -> Annotation | None:
        """Take this person's last answer of this session back; None when there is none."""
        given = self._given()
        if given:
            self.file.withdraw(given[-1])
        return given[-1] if given else None

    def answered(self) -> int:
        """Answers given in this session."""
        return len(self._given())

    def _drawn(self) -> int | None:
        """The window that chance puts next, of the training windows that this person was not asked about one by one; None
        when it is not chance's turn. What the person said about segments and what others said does not bear on it.
        """
        number = sum(a.by == self.by for a in self._reader.said())
        if (number + 1) % EVERY:
            return None
        asked = self._reader.read().exact.get(self.by, np.zeros(len(self.windows), bool))
        left = np.flatnonzero(self.windows.train & ~asked)
        if not len(left):
            return None
        person = int(sha256_json([self.by, self.task.name])[:16], 16)
        return int(np.random.default_rng([self.workspace.settings.seed, person, number]).choice(left))

    def _given(self) -> list[Annotation]:
        mine = [a for a in self._reader.said() if a.by == self.by and a.at >= self.began]
        return sorted(mine, key=lambda a: (a.at, a.line))

    def _settled_again(self, disputed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(windows,) the disputed ones about which this person has been asked in this session already."""
        given = {(a.device_id, a.start) for a in self._given()}
        asked, index = np.zeros(len(self.windows), bool), self.windows.index
        for position in np.flatnonzero(disputed) if given else ():
            asked[position] = (index["device_id"].iloc[position], index["start"].iloc[position].to_pydatetime()) in given
        return asked

    def _about(self, position: int, people: dict[str, NDArray[np.int8]]) -> Question:
        row, votes = self.windows.index.iloc[position], self.labels.votes[position]
        said = tuple((name, self.classes[v[position]]) for name, v in people.items() if v[position] >= 0)
        context = ", ".join(str(row[c]) for c in ("site", "hardware_profile", "firmware_version") if row[c])
        return Question(
            position,
            str(row["device_id"]),
            row["start"].to_pydatetime(),
            row["end"].to_pydatetime(),
            context,
            excerpt(self.workspace, self.windows, position),
            tuple((f, self.classes[v]) for f, v in zip(self.labels.functions, votes, strict=True) if v != ABSTAIN),
            said if len({value for _, value in said}) > 1 else (),
        )


def open_session(workspace: Workspace, task: str | None, by: str, count: int) -> Session:
    """Load windows and labels, and decide which ``count`` windows to ask about.

    Raises:
        NotFound: no such task, or the label step did not run.
        InputError: the task does not learn from people, several do and none is named, or annotations cannot be kept here.
    """
    chosen = labelled_task(workspace, task)
    features, out = workspace.out / "features", workspace.out / "label"
    if not (out / chosen.name / "labels.json").is_file() or not features.is_dir():
        raise NotFound(f"no labels of task '{chosen.name}' in {out}", hint="muster step label, or muster run, makes them")
    windows, labels = Windows.load(features), LabelSet.load(out, chosen.name)
    if len(windows) != len(labels.covered):
        raise InputError(f"{out} is older than {features}", hint="muster step label makes labels of the present windows")
    AnnotationFile.of(workspace).change(lambda kept: kept)  # says now, not at the first answer, that nothing can be kept
    answers = read_answers(workspace, windows, chosen)
    mine = answers.by_person.get(by, np.full(len(windows), SILENT, np.int8))
    done = (answers.agreed >= 0) | (mine != SILENT) | answers.disputed
    hard = select_windows(labels, windows, count, seed=workspace.settings.seed, without=done)
    order = np.concatenate([np.flatnonzero(answers.disputed & windows.train), hard])
    return Session(workspace, chosen, windows, labels, by, datetime.now(UTC), order)


def labelled_task(workspace: Workspace, name: str | None) -> Task:
    """The task called ``name``, or the only one that learns from rules and people."""
    weak = [t for t in workspace.settings.tasks if t.labels == "weak"]
    names = ", ".join(t.name for t in weak) or "none"
    if name is None:
        if len(weak) == 1:
            return weak[0]
        raise InputError(f"{len(weak)} tasks of this workspace have labels: weak", hint=f"name one with --task: {names}")
    for task in workspace.settings.tasks:
        if task.name == name:
            if task.labels == "none":
                raise InputError(f"task '{name}' learns without labels", hint="give it labels: weak in muster.yaml first")
            if task.labels == "gold":
                raise InputError(f"task '{name}' learns from {task.gold} alone", hint="write there, or give it labels: weak")
            return task
    raise NotFound(f"no task '{name}' in this workspace", hint=f"tasks with labels: weak: {names}")
