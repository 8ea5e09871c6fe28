"""What happened to a device reaches the windows it belongs to, and a malformed file is named with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.features.records import read_records
from components.workspace.errors import InputError, MusterError, NotFound
from tests.labeling.made import START, view

HEAD = "device_id,time,code,text\n"


def records_file(folder: Path, rows: list[tuple[str, float, str, str]], name: str = "errors.csv") -> Path:
    """``rows``: device, minutes after the start of all windows, code, text."""
    frame = pd.DataFrame(rows, columns=["device_id", "time", "code", "text"])
    frame["time"] = [(START + pd.Timedelta(minutes=m)).isoformat() for m in frame["time"]]
    frame.to_csv(folder / name, index=False)
    return folder / name


def test_records_count_in_the_window_that_holds_them_or_for_a_time_after(tmp_path: Path) -> None:
    rows = [("a", 0, "E1", ""), ("a", 10, "E2", ""), ("a", 19.5, "E1", ""), ("b", 5, "E1", ""), ("gone", 5, "E1", "")]
    w = view([("a", range(4)), ("b", range(2)), ("c", range(1))], records={"errors": records_file(tmp_path, rows)})
    assert w.count("errors").tolist() == [1, 2, 0, 0, 1, 0, 0]
    assert w.count("errors", code="E1").tolist() == [1, 1, 0, 0, 1, 0, 0]
    assert w.count("errors", code="E1", within_s=1800).tolist() == [1, 2, 2, 1, 1, 1, 0]
    assert w.since("errors", code="E2").tolist()[1:4] == [600, 1200, 1800]
    assert np.isnan(w.since("errors", code="E2")[[0, 4, 5, 6]]).all()


def test_notes_are_searched_by_patterns(tmp_path: Path) -> None:
    rows = [("a", 5, "note", "Bearing replaced"), ("a", 15, "note", "pump sounds rough, bearing?"), ("a", 25, "note", "")]
    w = view([("a", range(4))], records={"notes": records_file(tmp_path, rows)})
    assert w.text("notes", "bearing").tolist() == [False, True, False, False]
    assert w.text("notes", r"(?i)\bbearing\b").tolist() == [True, True, False, False]
    assert w.text("notes", "bearing", within_s=1200).tolist() == [False, True, True, False]
    with pytest.raises(InputError, match="pattern '\\(a': missing"):
        w.text("notes", "(a")
    with pytest.raises(InputError, match="pattern '\\(\\?=a\\)'"):
        w.text("notes", "(?=a)")


def test_a_pattern_that_would_take_others_for_ever_takes_no_time(tmp_path: Path) -> None:
    w = view([("a", range(1))], records={"notes": records_file(tmp_path, [("a", 1, "n", "a" * 5000 + "b")])})
    assert not w.text("notes", "(a+)+$").any()


def test_records_that_nobody_declared_are_named(tmp_path: Path) -> None:
    w = view([("a", range(1))], records={"errors": records_file(tmp_path, [])})
    with pytest.raises(InputError, match="no 'alarms' under records:"):
        w.count("alarms")
    assert w.count("errors").tolist() == [0]


@given(
    records=st.lists(st.tuples(st.sampled_from("ab"), st.integers(-30, 90), st.sampled_from(["E1", "E2"])), max_size=20),
    within=st.one_of(st.none(), st.integers(1, 60)),
)
def test_counting_and_since_are_those_of_the_definition(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, int, str]], within: int | None
) -> None:
    folder = tmp_path_factory.mktemp("records")
    file = records_file(folder, [(d, m, c, "") for d, m, c in records])
    devices = [("a", [0, 1, 3]), ("b", [2])]
    w = view(devices, stride=5, records={"errors": file})
    counted, since = [], []
    for device, numbers in devices:
        for n in numbers:
            begin, end = 5 * n, 5 * n + 10
            times = [m for d, m, c in records if d == device and c == "E1"]
            begin = begin if within is None else end - within
            counted.append(sum(begin <= m < end for m in times))
            since.append(min((60.0 * (end - m) for m in times if m < end), default=np.nan))
    assert w.count("errors", code="E1", within_s=None if within is None else 60 * within).tolist() == counted
    np.testing.assert_array_equal(w.since("errors", code="E1"), since)


BAD = {
    "no such column": ("device_id,when,code\na,b,c\n", "no column time"),
    "no time": (HEAD + "a,2026-03-01T00:00:00Z,E1,\na,yesterday,E1,\n", "line 3, column time: 'yesterday' is no time"),
    "no time after a long text": (
        HEAD + 'a,2026-03-01T00:00:00Z,E1,"one\ntwo"\n\na,,E1,\n',
        "line 5, column time: '' is no time",
    ),
    "no code": (HEAD + "a,2026-03-01T00:00:00Z,,\n", "line 2, column code: is empty"),
    "no device": (HEAD + ",2026-03-01T00:00:00Z,E1,\n", "line 2, column device_id: is empty"),
    "too many cells": (HEAD + "a,2026-03-01T00:00:00Z,E1,x\na,2026-03-01T00:00:00Z,E1,x,y,z\n", "line 3"),
    "a cell too many in every line": (
        HEAD + "a,2026-03-01T00:00:00Z,E1,x,more\n" * 2,
        "line 2: 5 cells under 4 columns",
    ),
    "a cell too few": (HEAD + 'a,2026-03-01T00:00:00Z,E1,"two\nlines"\na,2026-03-01T00:00:00Z,E1\n', "line 4: 3 cells under 4"),
    "a column twice": (HEAD.replace("text", "code"), "two columns are called 'code'"),
    "nothing": ("", "is empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, case: str) -> None:
    text, message = BAD[case]
    (tmp_path / "errors.csv").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_records(tmp_path / "errors.csv")
    assert "errors.csv" in caught.value.message
    assert caught.value.hint


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise_anything_but_an_error_of_ours(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    for name in ("errors.csv", "errors.parquet"):
        file = tmp_path_factory.mktemp("bytes") / name
        file.write_bytes(data)
        try:
            read_records(file)
        except MusterError as error:
            assert name in error.message


def test_parquet_files_are_read_too(tmp_path: Path) -> None:
    times = pd.to_datetime([START, START + pd.Timedelta(minutes=12)])
    frame = pd.DataFrame({"device_id": ["a", "a"], "time": times, "code": [42, 7]})
    frame.to_parquet(tmp_path / "errors.parquet")
    w = view([("a", range(2))], records={"errors": tmp_path / "errors.parquet"})
    assert w.count("errors", code="42").tolist() == [1, 0]
    with pytest.raises(InputError, match="has no column text"):
        w.text("errors", "x")
    frame.assign(code=["E1", None]).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(InputError, match="row 2, column code: is empty"):
        read_records(tmp_path / "bad.parquet")


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"errors\.csv"):
        read_records(tmp_path / "errors.csv")
