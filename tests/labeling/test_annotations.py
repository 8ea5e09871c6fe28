"""What people say about windows is never lost, reads back as it was written, and becomes gold only where they agree."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.labeling.people.annotation_file import DRAWN, Annotation, AnnotationFile, parse, render
from components.labeling.people.annotations import Gold, read_annotations
from components.values import Windows
from components.workspace import Workspace
from components.workspace.errors import InputError
from flows.bodies import labelling_sources
from tests.features.test_windows import dataset
from tests.ingestion import small

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
TIMES = st.datetimes(datetime(1950, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is beside
ANNOTATIONS = st.builds(
    lambda device, start, seconds, task, value, by, at, drawn: Annotation(
        device, start, start + timedelta(seconds=seconds), task, value, by, at, drawn
    ),
    TEXT, TIMES, st.integers(1, 10**6), TEXT, st.just("") | TEXT, TEXT, TIMES, st.sampled_from(DRAWN),
)  # fmt: skip


@given(st.lists(ANNOTATIONS, max_size=5))
def test_what_is_written_reads_back(annotations: list[Annotation]) -> None:
    assert parse(render(annotations), "a.csv") == annotations


@given(st.lists(ANNOTATIONS, max_size=3), st.lists(ANNOTATIONS, max_size=3), st.booleans())
def test_adding_is_the_same_as_writing_all(
    tmp_path_factory: pytest.TempPathFactory, first: list[Annotation], second: list[Annotation], again: bool
) -> None:
    """What stands is not parsed anew for each answer; a second reader must still find the same, line by line."""
    root = tmp_path_factory.mktemp("added")
    file = AnnotationFile(root / "a.csv", root / "lock")
    file.change(lambda _: first)
    if again:
        file.read()
    file.add(*second)
    fresh = parse((root / "a.csv").read_bytes().decode(), "a.csv")
    assert file.read() == fresh == [*first, *second]
    assert [a.line for a in file.read()] == [a.line for a in fresh]


def test_a_change_by_another_is_seen_and_an_unchanged_file_is_parsed_once(tmp_path: Path) -> None:
    """With 20,000 answers, parsing all of them for each question would keep people waiting."""
    mine, other = (AnnotationFile(tmp_path / "a.csv", tmp_path / "lock") for _ in range(2))
    (tmp_path / "a.csv").write_text(HEADER + LINE)
    first = mine.read()
    assert mine.read() is first
    other.add(replace(first[0], by="bob"))
    assert [a.by for a in mine.read()] == ["ann", "bob"]
    mine.add(replace(first[0], by="cat"))
    assert mine.read() is mine.read()
    assert [a.by for a in mine.read()] == ["ann", "bob", "cat"]
    assert [a.by for a in first] == ["ann"]


def test_a_file_of_older_columns_and_one_mended_by_hand_are_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    file = AnnotationFile(path, tmp_path / "lock")
    path.write_text(HEADER + LINE)
    (old,) = file.read()
    assert old.drawn == ""
    file.add(replace(old, by="bob", drawn="random"))
    assert path.read_text().splitlines()[0] == HEADER.strip() + ",drawn"
    assert [(a.by, a.drawn) for a in file.read()] == [("ann", ""), ("bob", "random")]
    path.write_text(path.read_text().replace("bob", "cat").rstrip())
    file.add(replace(old, by="dan"))
    assert [a.by for a in file.read()] == ["ann", "cat", "dan"]


def test_only_what_was_drawn_at_random_is_sampled(cut: tuple[Workspace, Windows]) -> None:
    """Neither a segment, nor a window that was worth it, nor a drawn one on which people differ or cannot tell."""
    made, windows = cut
    device = device_of(windows, "train")
    file = AnnotationFile.of(made)
    answers = [("ann", 0, 1, "high", "random"), ("ann", 1, 1, "high", "worth"), ("ann", 2, 3, "low", "random"),
               ("ann", 6, 1, "low", "random"), ("bob", 6, 1, "high", "worth"), ("ann", 7, 1, "", "random"),
               ("bob", 7, 1, "low", "worth"), ("ann", 8, 1, "low", "random"), ("bob", 8, 1, "low", ""),
               ("ann", 9, 1, "low", "random"), ("ann", 9, 1, "high", "worth")]  # fmt: skip
    file.change(
        lambda _: [
            replace(_answer(windows, n, by, device, first, count, value), drawn=drawn)
            for n, (by, first, count, value, drawn) in enumerate(answers)
        ]
    )
    gold = read_annotations(made, windows, made.settings.tasks[0])
    assert gold.values[at(windows, device)][:10].tolist() == [1, 1, 2, 2, 2, -1, -1, 2, 2, 1]
    assert np.flatnonzero(gold.sampled).tolist() == at(windows, device)[[0, 8, 9]].tolist()


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Windows]:
    from components.features.windows import make_windows

    root = tmp_path_factory.mktemp("cut")
    made = small.workspace(root / "w")
    return made, make_windows(made, dataset(root / "data", small.telemetry()))


@pytest.fixture
def said(cut: tuple[Workspace, Windows]) -> Callable[..., Gold]:
    """Gold labels of the small workspace after the given (by, device, first window, windows, value)."""

    def gold(*answers: tuple[str, str, int, int, str]) -> Gold:
        made, windows = cut
        file = AnnotationFile.of(made)
        file.path.unlink(missing_ok=True)
        file.add(*(_answer(windows, number, *answer) for number, answer in enumerate(answers)))
        return read_annotations(made, windows, made.settings.tasks[0])

    return gold


def _answer(windows: Windows, number: int, by: str, device: str, first: int, count: int, value: str) -> Annotation:
    mine = windows.index[windows.index["device_id"] == device].reset_index(drop=True)
    start, end = mine["start"][first].to_pydatetime(), mine["end"][first + count - 1].to_pydatetime()
    return Annotation(device, start, end, "state", value, by, datetime(2026, 4, 1, tzinfo=UTC) + timedelta(seconds=number))


def device_of(windows: Windows, split: str) -> str:
    return str(windows.index.loc[windows.index["split"] == split, "device_id"].iloc[0])


def at(windows: Windows, device: str) -> np.ndarray:
    return np.flatnonzero((windows.index["device_id"] == device).to_numpy())


def test_nobody_said_anything_without_a_file(cut: tuple[Workspace, Windows], said: Callable[..., Gold]) -> None:
    gold = said()
    assert (gold.values == -1).all()
    assert gold.values.dtype == np.int8
    assert gold.notes == []


def test_the_exact_window_counts_before_the_segment_around_it(cut: tuple[Workspace, Windows], said: Callable[..., Gold]) -> None:
    windows = cut[1]
    device = device_of(windows, "train")
    gold = said(("ann", device, 3, 1, "high"), ("ann", device, 0, 8, "normal"))
    expected = [0, 0, 0, 1, 0, 0, 0, 0]
    assert gold.values[at(windows, device)][:8].tolist() == expected
    assert (np.delete(gold.values, at(windows, device)[:8]) == -1).all()


def test_the_latest_answer_of_one_person_wins_and_cannot_tell_takes_it_back(
    cut: tuple[Workspace, Windows], said: Callable[..., Gold]
) -> None:
    windows = cut[1]
    device = device_of(windows, "train")
    first = at(windows, device)[0]
    assert said(("ann", device, 0, 1, "high"), ("ann", device, 0, 1, "low")).values[first] == 2
    assert said(("ann", device, 0, 1, "high"), ("ann", device, 0, 1, "")).values[first] == -1
    assert said(("ann", device, 0, 1, "high"), ("bob", device, 0, 1, "")).values[first] == 1


def test_people_who_contradict_each_other_leave_no_gold_and_are_told(
    cut: tuple[Workspace, Windows], said: Callable[..., Gold]
) -> None:
    windows = cut[1]
    device = device_of(windows, "train")
    gold = said(("ann", device, 0, 2, "high"), ("bob", device, 1, 1, "low"))
    assert gold.values[at(windows, device)][:2].tolist() == [1, -1]
    assert gold.notes[0].startswith("1 windows have annotations that contradict each other")


def test_held_out_windows_are_never_gold(cut: tuple[Workspace, Windows], said: Callable[..., Gold]) -> None:
    windows = cut[1]
    gold = said(("ann", device_of(windows, "test"), 0, 4, "high"))
    assert (gold.values == -1).all()
    assert gold.notes == ["4 annotated windows are held out for evaluation and not learned from"]


def test_annotations_of_no_window_are_counted(cut: tuple[Workspace, Windows]) -> None:
    made, windows = cut
    file = AnnotationFile.of(made)
    elsewhere = Annotation("gone", small.START.to_pydatetime(), small.START.to_pydatetime() + timedelta(hours=1), "state", "high",
                           "ann", datetime(2026, 4, 1, tzinfo=UTC))  # fmt: skip
    file.change(lambda _: [elsewhere])
    assert read_annotations(made, windows, made.settings.tasks[0]).notes[0].startswith("1 annotations hold no window")


def test_the_label_step_runs_again_when_an_annotation_changes(tmp_path: Path) -> None:
    made = small.workspace(tmp_path)
    before = labelling_sources(made, "")
    made.path("annotations.csv").write_text("device_id,start,end,task,value,by,at\n")
    assert labelling_sources(made, "") != before


HEADER = "device_id,start,end,task,value,by,at\n"
LINE = "d1,2026-03-01T00:00:00Z,2026-03-01T00:08:00Z,state,high,ann,2026-04-01T00:00:00Z\n"
BAD = {
    "no zone": (LINE.replace("00:08:00Z", "00:08:00"), r"line 3: end '2026-03-01T00:08:00' has no zone"),
    "no time": (LINE.replace("2026-03-01T00:00:00Z", "yesterday"), "line 3: start 'yesterday' is no time"),
    "before it starts": (LINE.replace("00:08:00Z", "00:00:00Z"), "line 3: end is not after start"),
    "nobody": (LINE.replace("ann", ""), "line 3: by is empty"),
    "a cell too many": (LINE.replace("ann", "ann,bob"), "line 3: 8 cells under 7 columns"),
    "drawn otherwise": (LINE.replace("\n", ",random\n").replace("random", "fair"), "drawn 'fair' is none of random and worth"),
    "open quote": (LINE.replace("ann", '"ann'), "line 3: no valid CSV"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_damaged_file_is_named_with_its_line(case: str) -> None:
    line, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        head = HEADER if case != "drawn otherwise" else HEADER.replace("at\n", "at,drawn\n")
        parse(head + (LINE if head == HEADER else "") + line, "a.csv")
    assert caught.value.hint


def test_a_class_that_the_task_does_not_have_is_named_with_its_line(cut: tuple[Workspace, Windows]) -> None:
    made, windows = cut
    made.path("annotations.csv").write_text(HEADER + LINE + LINE.replace("high", "hot"))
    with pytest.raises(InputError, match=r"annotations\.csv, line 3: 'hot' is no class of task 'state'"):
        read_annotations(made, windows, made.settings.tasks[0])


WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from components.labeling.people.annotation_file import Annotation, AnnotationFile
root, by, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
file = AnnotationFile(root / "annotations.csv", root / "lock")
start = datetime(2026, 3, 1, tzinfo=UTC)
for n in range(count):
    file.add(Annotation("d", start, start + timedelta(seconds=n + 1), "t", "x", by, start))
    print(n, flush=True)
"""


def _writer(root: Path, by: str, count: int) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", WRITER, str(root), by, str(count)], stdout=subprocess.PIPE, text=True)


def test_two_people_at_once_lose_nothing(tmp_path: Path) -> None:
    writers = [_writer(tmp_path, by, 40) for by in ("ann", "bob")]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    kept = AnnotationFile(tmp_path / "annotations.csv", tmp_path / "lock").read()
    assert sorted((a.by, (a.end - a.start).seconds) for a in kept) == sorted((b, n) for b in ("ann", "bob") for n in range(1, 41))


def test_an_answer_that_was_taken_survives_a_kill(tmp_path: Path) -> None:
    with _writer(tmp_path, "ann", 10**6) as writer:
        assert writer.stdout is not None
        taken = [int(writer.stdout.readline()) for _ in range(5)][-1]
        writer.send_signal(signal.SIGKILL)
    kept = AnnotationFile(tmp_path / "annotations.csv", tmp_path / "lock").read()
    assert len(kept) > taken
    assert [(a.end - a.start).seconds for a in kept] == list(range(1, len(kept) + 1))


def test_a_workspace_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    made = small.workspace(tmp_path)
    made.state.write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot be written"):
        AnnotationFile.of(made).change(lambda kept: kept)
