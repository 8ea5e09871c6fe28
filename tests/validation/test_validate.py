"""The contract decides row by row; what it refuses is kept with its reason, and too much of it closes the gate."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.ingestion.ingest import ingest, listing
from components.validation.results import read_profile, read_quarantine, results_folder
from components.validation.rows import bad_rows, believed_span, read_lake
from components.validation.suite import run_suite
from components.validation.validate import validate
from components.values import Dataset
from components.workspace import Workspace
from components.workspace.errors import GateFailed, InputError, NotFound
from tests.ingestion.small import settings, telemetry, upload, workspace


def lake_of(made: Workspace, frame: pd.DataFrame) -> Path:
    upload(made.path("raw/a.parquet"), frame)
    folder = made.root / "ingested"
    folder.mkdir()
    ingest(made, listing(made), folder)
    return folder / "lake"


def outcome(made: Workspace, frame: pd.DataFrame) -> Dataset:
    folder = made.out / "validate"
    folder.mkdir(parents=True)
    return validate(made, lake_of(made, frame), folder)


def _set(column: str, value: object) -> Callable[[pd.DataFrame], None]:
    def spoil(frame: pd.DataFrame) -> None:
        frame.loc[[5, 17], column] = value

    return spoil


BAD_ROWS = {
    "no device": (_set("device_id", None), "no device"),
    "blank device": (_set("device_id", "  "), "no device"),
    "no time": (_set("time", pd.NaT), "no time"),
    "a clock that fell back": (_set("time", pd.Timestamp(0, tz="UTC")), "time outside the span of the data"),
    "a clock that ran off": (_set("time", pd.Timestamp("2106-02-07", tz="UTC")), "time outside the span of the data"),
    "below the range": (_set("pressure", -0.01), "pressure outside 0..10 bar"),
    "above the range": (_set("flow", np.inf), "flow outside 0..100 m3/h"),
    "unknown profile": (_set("hardware_profile", "toaster"), "unknown hardware profile"),
    "no version": (_set("firmware_version", "v?"), "firmware version cannot be read"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows_are_found_exactly(tmp_path: Path, case: str) -> None:
    spoil, reason = BAD_ROWS[case]
    made = workspace(tmp_path / "w")
    frame = telemetry()
    spoil(frame)
    rows = read_lake(lake_of(made, frame))
    verdict, reasons = bad_rows(made, rows, believed_span(rows["time"], 0.05))
    assert reasons == [reason]
    assert rows["row"][verdict >= 0].tolist() == [5, 17]


def test_nulls_are_bad_only_where_the_contract_forbids_them(tmp_path: Path) -> None:
    frame = telemetry()
    frame.loc[3, ["pressure", "flow"]] = np.nan
    contract = settings()["telemetry"]
    contract["channels"][1]["nullable"] = False
    made = workspace(tmp_path / "w", telemetry=contract)
    rows = read_lake(lake_of(made, frame))
    verdict, reasons = bad_rows(made, rows, believed_span(rows["time"], 0.05))
    assert reasons == ["flow is null"]
    assert (verdict >= 0).sum() == 1


def test_good_rows_come_out_sorted_once_each_and_the_same_bytes_again(tmp_path: Path) -> None:
    frame = telemetry()
    late = pd.concat([frame.iloc[::-1], frame.iloc[10:20]])
    late.iloc[40, late.columns.get_loc("pressure")] = 99
    first = outcome(workspace(tmp_path / "one"), late)
    second = outcome(workspace(tmp_path / "two"), late)
    rows = first.frame()
    assert (first.rows, first.quarantined, first.duplicates, first.devices) == (len(frame) - 1, 1, 10, 6)
    assert rows.equals(rows.sort_values(["device_id", "time"], ignore_index=True))
    assert not rows.duplicated(["device_id", "time"]).any()
    assert first.digest == second.digest
    assert Dataset.load(first.folder) == first


def test_of_duplicates_the_first_arrival_is_kept(tmp_path: Path) -> None:
    frame = telemetry(devices=1, steps=30)
    again = frame.iloc[[4]].assign(pressure=np.float32(9.0))
    rows = outcome(workspace(tmp_path / "w"), pd.concat([frame, again])).frame()
    assert rows["pressure"][4] == frame["pressure"][4]


def test_the_quarantine_keeps_values_and_origin(tmp_path: Path) -> None:
    frame = telemetry()
    frame.loc[7, "pressure"] = np.float32(123.5)
    made = workspace(tmp_path / "w")
    outcome(made, frame)
    row = read_quarantine(results_folder(made), "pressure").iloc[0]
    assert (row["reason"], row["object"], row["row"], row["pressure"]) == ("pressure outside 0..10 bar", "a.parquet", 7, 123.5)
    assert read_profile(results_folder(made))["worst_devices"] == {"d1": 1}
    assert "quarantine" in (made.out / "validate" / "report.html").read_text()


def test_an_unreadable_object_stands_in_the_quarantine(tmp_path: Path) -> None:
    made = workspace(tmp_path / "w")
    made.path("raw").mkdir()
    made.path("raw/broken.parquet").write_bytes(b"PAR1")
    outcome(made, telemetry())
    rows = read_quarantine(results_folder(made))
    assert rows["object"].tolist() == ["broken.parquet"]
    assert rows["reason"][0].startswith("unreadable")


def test_too_many_bad_rows_close_the_gate_and_leave_a_report(tmp_path: Path) -> None:
    frame = telemetry()
    frame.loc[:99, "pressure"] = np.float32(-3)
    made = workspace(tmp_path / "w")
    with pytest.raises(GateFailed, match=r"13\.9% of 720 rows.*5\.0% are allowed; mostly: pressure outside") as caught:
        outcome(made, frame)
    assert str(results_folder(made) / "report.html") in caught.value.hint
    assert len(read_quarantine(results_folder(made))) == 100
    assert not list((made.out / "validate").iterdir())


def test_when_every_row_is_bad_no_allowance_helps(tmp_path: Path) -> None:
    made = workspace(tmp_path / "w", validation={"max_quarantined": 1.0})
    with pytest.raises(GateFailed, match=r"100\.0%"):
        outcome(made, telemetry().assign(pressure=np.float32(-3)))


def test_a_channel_without_any_value_closes_the_gate(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="no accepted row has a value of flow"):
        outcome(workspace(tmp_path / "w"), telemetry().assign(flow=np.float32(np.nan)))


def test_no_rows_at_all_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no rows"):
        outcome(workspace(tmp_path / "w"), telemetry().iloc[:0])


def test_before_the_first_validation_there_is_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no validated data"):
        results_folder(workspace(tmp_path / "w"))


def test_great_expectations_counts_what_the_row_mask_counts(tmp_path: Path) -> None:
    """Two implementations of one contract agree on clean, bad and half-empty columns."""
    frame = telemetry()
    frame.loc[:8, "pressure"] = np.float32(11)
    frame.loc[20:25, "flow"] = np.float32(-1)
    frame.loc[30:33, "hardware_profile"] = "toaster"
    frame.loc[40:41, "time"] = pd.Timestamp(0, tz="UTC")
    frame.loc[50:500, "flow"] = np.float32(np.nan)
    made = workspace(tmp_path / "w")
    rows = read_lake(lake_of(made, frame))
    span = believed_span(rows["time"], 0.05)
    expected, suite = run_suite(made, rows, span)
    counts = {(e.name, e.column): (e.passed, e.unexpected) for e in expected}
    between = "expect_column_values_to_be_between"
    assert counts[between, "pressure"] == (True, 9)
    assert counts[between, "flow"] == (True, 6)
    assert counts[between, "time"] == (True, 2)
    assert counts["expect_column_values_to_be_in_set", "hardware_profile"] == (True, 4)
    assert counts["expect_column_values_to_not_be_null", "flow"] == (False, 451)
    assert counts["expect_table_row_count_to_be_between", ""] == (True, None)
    assert len(suite["expectations"]) == len(expected)
