"""Raw objects become a lake by day; what breaks the contract is named, what was read once is not read again."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.ingestion import ingest as room
from components.ingestion.columns import lake_table
from components.ingestion.ingest import ingest, listing
from components.workspace import Workspace
from components.workspace.errors import InputError, NotFound
from tests.ingestion.small import START, settings, telemetry, upload, workspace


@pytest.fixture
def small(tmp_path: Path) -> Workspace:
    made = workspace(tmp_path / "w")
    frame = telemetry()
    upload(made.path("raw/a.parquet"), frame.iloc[:400])
    upload(made.path("raw/b.parquet"), frame.iloc[400:])
    return made


def run(made: Workspace, name: str = "out") -> tuple[room.IngestReport, Path]:
    folder = made.root / name
    folder.mkdir()
    return ingest(made, listing(made), folder), folder


def lake(folder: Path) -> pd.DataFrame:
    rows = pd.concat([pd.read_parquet(f) for f in sorted((folder / "lake").rglob("*.parquet"))])
    return rows.sort_values(["object", "row"], ignore_index=True)


def test_every_row_arrives_with_its_origin(small: Workspace) -> None:
    report, folder = run(small)
    rows = lake(folder)
    assert report.rows == len(rows) == len(telemetry())
    assert report.objects == report.fetched == 2
    assert rows["object"].unique().tolist() == ["a.parquet", "b.parquet"]
    assert rows["row"].tolist() == [*range(400), *range(len(rows) - 400)]
    assert str(rows["time"].dt.tz) == "UTC"
    assert rows["pressure"].tolist() == telemetry()["pressure"].tolist()


def test_rows_lie_under_the_utc_day_they_belong_to(tmp_path: Path) -> None:
    made = workspace(tmp_path / "w")
    frame = telemetry(devices=1, steps=3)
    frame["time"] = pd.to_datetime(["2026-03-01T23:59:00-02:00", "2026-03-01T12:00:00Z", None], utc=True)
    upload(made.path("raw/a.parquet"), frame)
    _, folder = run(made)
    assert sorted(f.name for f in (folder / "lake").iterdir()) == ["day=2026-03-01", "day=2026-03-02", "day=none"]


def test_objects_already_ingested_are_not_read_again(small: Workspace) -> None:
    run(small)
    again, folder = run(small, "again")
    assert again.fetched == 0
    upload(small.path("raw/c.parquet"), telemetry(steps=5))
    third, _ = run(small, "third")
    assert third.fetched == 1
    assert json.loads((folder / "ingest.json").read_text())["rows"] == again.rows


def test_a_killed_run_goes_on_at_the_object_where_it_stopped(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    write, done = room._write_days, []

    def dies_at_the_second(*args: object) -> int:
        if done:
            raise KeyboardInterrupt
        done.append(1)
        return int(write(*args))  # type: ignore[arg-type]

    monkeypatch.setattr(room, "THREADS", 1)
    monkeypatch.setattr(room, "_write_days", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(small)
    monkeypatch.setattr(room, "_write_days", write)
    report, folder = run(small, "again")
    assert report.fetched == 1
    assert len(lake(folder)) == len(telemetry())
    assert not [f for f in (small.state / "lake").iterdir() if f.name.startswith(".")]


def test_a_changed_object_is_read_again(small: Workspace) -> None:
    run(small)
    upload(small.path("raw/b.parquet"), telemetry(steps=7))
    report, folder = run(small, "again")
    assert report.fetched == 1
    assert (lake(folder)["object"] == "b.parquet").sum() == 42


def test_an_unreadable_object_is_set_aside_with_its_reason(small: Workspace) -> None:
    small.path("raw/broken.parquet").write_bytes(b"PAR1 and then the link went down")
    report, _ = run(small)
    assert [s.key for s in report.skipped] == ["broken.parquet"]
    assert report.skipped[0].reason.startswith("unreadable: ")
    assert report.rows == len(telemetry())


def test_when_no_object_can_be_read_the_step_fails(tmp_path: Path) -> None:
    made = workspace(tmp_path / "w")
    made.path("raw").mkdir()
    made.path("raw/a.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"none of the 1 objects.*a\.parquet"):
        run(made)


def _renamed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(columns={"pressure": "presure"})


BAD_OBJECTS = {
    "missing channel": (lambda f: f.drop(columns="flow"), r"x\.parquet: no column flow"),
    "missing device": (lambda f: f.drop(columns="device_id"), "no column device_id"),
    "missing context": (lambda f: f.drop(columns="site"), "no column site"),
    "misspelt channel": (_renamed, "no column pressure"),
    "unknown column": (lambda f: f.assign(humidity=1.0), "does not know column humidity"),
    "text in a numeric channel": (lambda f: f.assign(flow="12"), "column flow: holds .*string, the contract wants float32"),
    "booleans": (lambda f: f.assign(flow=True), "column flow: holds bool, the contract wants float32"),
    "numbers for time": (lambda f: f.assign(time=range(len(f))), "column time: holds int64.*epoch"),
    "numbers for site": (lambda f: f.assign(site=0.5), "column site: holds double, the contract wants text"),
}


@pytest.mark.parametrize("case", BAD_OBJECTS)
def test_a_column_that_breaks_the_contract_is_named(tmp_path: Path, case: str) -> None:
    spoil, message = BAD_OBJECTS[case]
    made = workspace(tmp_path / "w")
    upload(made.path("raw/x.parquet"), spoil(telemetry(steps=4)))
    with pytest.raises(InputError, match=message) as caught:
        run(made)
    assert caught.value.hint


def test_another_unit_than_the_contract_says_is_refused(tmp_path: Path) -> None:
    made = workspace(tmp_path / "w")
    upload(made.path("raw/x.parquet"), telemetry(steps=4), units={"pressure": "kPa"})
    with pytest.raises(InputError, match=r"x\.parquet, column pressure: is in kPa, the contract wants bar"):
        run(made)


def test_ignored_columns_may_be_there(tmp_path: Path) -> None:
    made = workspace(tmp_path / "w", telemetry=settings()["telemetry"] | {"ignored": ["note"]})
    upload(made.path("raw/x.parquet"), telemetry(steps=4).assign(note="spring"))
    report, folder = run(made)
    assert report.rows == 24
    assert "note" not in lake(folder).columns


def test_a_missing_folder_and_an_empty_one_are_not_found(tmp_path: Path) -> None:
    made = workspace(tmp_path / "w")
    with pytest.raises(NotFound, match="no folder"):
        listing(made)
    made.path("raw").mkdir()
    with pytest.raises(NotFound, match=r"no \.parquet objects"):
        listing(made)


def test_the_listing_sees_changed_bytes_and_no_changed_times(small: Workspace) -> None:
    before = listing(small)
    os.utime(small.path("raw/a.parquet"), (1, 1))
    assert listing(small) == before
    upload(small.path("raw/a.parquet"), telemetry(steps=2))
    assert listing(small)[0].etag != before[0].etag


def test_csv_cells_that_cannot_be_read_are_bad_rows_not_bad_objects(tmp_path: Path) -> None:
    made = workspace(tmp_path / "w", storage={"source": "raw", "format": "csv"})
    frame = telemetry(devices=1, steps=4).astype({"pressure": "object"})
    frame.loc[1, "pressure"] = "n/a!"
    frame["time"] = frame["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    frame.loc[2, "time"] = "yesterday"
    made.path("raw").mkdir()
    frame.to_csv(made.path("raw/x.csv"), index=False)
    _, folder = run(made)
    said = lake(folder)["unreadable"].tolist()
    assert said == ["", "pressure: no number: 'n/a!'", "time: no time: 'yesterday'", ""]
    assert lake(folder)["pressure"].isna().tolist() == [False, True, False, False]


def test_a_csv_column_without_any_number_is_the_wrong_column(tmp_path: Path) -> None:
    made = workspace(tmp_path / "w", storage={"source": "raw", "format": "csv"})
    made.path("raw").mkdir()
    telemetry(steps=4).assign(flow="high").to_csv(made.path("raw/x.csv"), index=False)
    with pytest.raises(InputError, match="column flow: holds text such as 'high'"):
        run(made)


@given(unit=st.sampled_from(["s", "ms", "us", "step"]), ticks=st.lists(st.integers(0, 10_000_000), min_size=1, max_size=20))
def test_numbers_since_the_epoch_are_exact_times(unit: str, ticks: list[int]) -> None:
    import pyarrow as pa

    from components.workspace.settings import Settings

    text = settings()
    text["telemetry"] |= {"time": {"column": "t", "epoch": "2026-03-01T00:00:00Z", "unit": unit}, "context": {}}
    contract = Settings.model_validate(text).telemetry
    table = pa.table({"device_id": ["d"] * len(ticks), "t": ticks, "pressure": [1.0] * len(ticks), "flow": [1.0] * len(ticks)})
    times = lake_table(table, contract, "x.parquet").column("time").to_pandas()
    seconds = {"s": 1, "ms": 1e-3, "us": 1e-6, "step": 60}[unit]
    wanted = [START + pd.Timedelta(microseconds=round(n * seconds * 1e6)) for n in ticks]
    assert times.tolist() == wanted


def test_times_past_all_calendars_are_bad_rows(tmp_path: Path) -> None:
    text = settings()["telemetry"] | {"time": {"column": "time", "epoch": "1970-01-01T00:00:00Z", "unit": "s"}}
    made = workspace(tmp_path / "w", telemetry=text)
    upload(made.path("raw/x.parquet"), telemetry(devices=1, steps=2).assign(time=[1.0e9, 1.0e300]))
    _, folder = run(made)
    assert lake(folder)["time"].isna().tolist() == [False, True]
    assert lake(folder)["unreadable"].tolist() == ["", "time: no time: '1e+300'"]
