"""Windows lie on one grid, never hide gaps or changes of firmware, and never let held-out telemetry set a scale."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.features.calibration import make_calibration
from components.features.grid import make_grid
from components.features.segments import covering, read_segments, touching
from components.features.split import held_out, stratified
from components.features.windows import make_windows
from components.runtime.scaling import MISSING_CODE
from components.values import Dataset, Windows
from components.workspace import Workspace
from components.workspace.errors import InputError, NotFound
from components.workspace.settings import Settings
from tests.ingestion import small

CONTRACT = Settings.model_validate(small.settings()).telemetry


def dataset(folder: Path, frame: pd.DataFrame) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    rows = frame.sort_values(["device_id", "time"], ignore_index=True)
    rows.to_parquet(folder / "accepted.parquet")
    return Dataset(folder, len(rows), 0, 0, rows["device_id"].nunique(), "-")


def cut(tmp_path: Path, frame: pd.DataFrame, **changes: object) -> Windows:
    return make_windows(small.workspace(tmp_path / "w", **changes), dataset(tmp_path / "data", frame))


def test_every_window_holds_the_samples_of_its_time(tmp_path: Path) -> None:
    frame = small.telemetry()
    windows = cut(tmp_path, frame)
    assert windows.values.shape == windows.codes.shape == (6 * 29, 8, 2)
    for position in (0, 28, 29, 100, 173):
        row = windows.index.iloc[position]
        mine = frame[(frame["device_id"] == row["device_id"]) & (frame["time"] >= row["start"]) & (frame["time"] < row["end"])]
        assert windows.values[position].tolist() == mine[["pressure", "flow"]].to_numpy().tolist()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), gone=st.floats(0, 0.6))
def test_gaps_stay_gaps_and_jitter_snaps(seed: int, gone: float) -> None:
    """Whatever rows are missing and however the clock jitters (below half an interval), each sample sits in its slot."""
    rng = np.random.default_rng(seed)
    frame = small.telemetry(devices=2, steps=60, seed=seed)
    slot = (frame["time"] - small.START) // pd.Timedelta(60, unit="s")
    frame["pressure"] = (slot % 10).astype(np.float32)
    frame["time"] += pd.to_timedelta(rng.uniform(-29, 29, len(frame)), unit="s")
    kept = frame[rng.random(len(frame)) >= gone]
    if kept["device_id"].nunique() < 2:
        return
    grid = make_grid(kept.sort_values(["device_id", "time"], ignore_index=True), CONTRACT)
    first = round(small.START.timestamp() / 60)
    for number, name in enumerate(grid.devices):
        mine = grid.values[grid.offsets[number] : grid.offsets[number + 1], 0]
        slots = np.arange(len(mine)) + grid.first_slot[number] - first
        heard = set(slot[kept.index[kept["device_id"] == name]])
        assert {int(s) for s, v in zip(slots, mine, strict=True) if not np.isnan(v)} == heard
        assert all(v == s % 10 for s, v in zip(slots, mine, strict=True) if not np.isnan(v))


def test_windows_that_miss_too_much_are_left_out(tmp_path: Path) -> None:
    frame = small.telemetry(devices=4, steps=40)
    slot = (frame["time"] - small.START) // pd.Timedelta(60, unit="s")
    gap = (frame["device_id"] == "d0") & slot.between(12, 18)
    windows = cut(tmp_path, frame[~gap])
    starts = windows.index["start"][windows.index["device_id"] == "d0"]
    assert ((starts - small.START) // pd.Timedelta(60, unit="s")).tolist() == [0, 4, 8, 16, 20, 24, 28, 32]
    assert np.isnan(windows.values).any()
    assert ((windows.codes == MISSING_CODE) == np.isnan(windows.values)).all()


def test_no_window_spans_a_change_of_firmware(tmp_path: Path) -> None:
    frame = small.telemetry(devices=4, steps=40)
    frame.loc[(frame["device_id"] == "d0") & (frame["time"] >= small.START + pd.Timedelta(minutes=18)), "firmware_version"] = (
        "2.0.0"
    )
    index = cut(tmp_path, frame).index
    mine = index[index["device_id"] == "d0"]
    change = small.START + pd.Timedelta(minutes=18)
    assert not ((mine["start"] < change) & (mine["end"] > change)).any()
    assert set(mine["firmware_version"]) == {"1.0.0", "2.0.0"}
    assert (mine["firmware_version"] == np.where(mine["start"] >= change, "2.0.0", "1.0.0")).all()


def test_held_out_devices_do_not_touch_the_fallback_scaling(tmp_path: Path) -> None:
    frame = small.telemetry()
    windows = cut(tmp_path, frame)
    test = set(windows.index["device_id"][windows.test])
    frame.loc[frame["device_id"].isin(test), ["pressure", "flow"]] *= np.float32(1.7)
    assert cut(tmp_path, frame).calibration == windows.calibration


def test_a_device_with_too_little_history_takes_the_fallback(tmp_path: Path) -> None:
    frame = small.telemetry()
    short = frame[(frame["device_id"] != "d5") | (frame["time"] < small.START + pd.Timedelta(minutes=30))]
    windows = cut(tmp_path, short)
    assert windows.scalings["d5"] == windows.calibration.fallback
    assert windows.scalings["d0"] != windows.calibration.fallback


def test_one_scaling_for_the_fleet_when_calibration_is_off(tmp_path: Path) -> None:
    windows = cut(tmp_path, small.telemetry(), windows={"steps": 8, "stride": 4, "calibration_steps": 0})
    assert set(windows.scalings.values()) == {windows.calibration.fallback}
    middle = np.abs(windows.codes[windows.train].astype(int)).mean()
    assert 10 < middle < 40  # mean absolute deviation of a normal channel is 127/6 * 0.8 codes


def test_a_channel_that_stands_still_does_not_blow_up() -> None:
    rng = np.random.default_rng(0)
    lively = rng.normal(0, 400, (200, 1)).astype(np.int16)
    still = np.zeros((200, 1), np.int16)
    calibration = make_calibration(50, 6.0, [lively, lively + 5, lively - 5])
    assert calibration.learn(still).multiplier[0] <= 4.2 * calibration.fallback.multiplier[0]


def test_windows_survive_being_saved(tmp_path: Path) -> None:
    windows = cut(tmp_path, small.telemetry())
    (tmp_path / "kept").mkdir()
    windows.save(tmp_path / "kept")
    again = Windows.load(tmp_path / "kept")
    assert again.scalings == windows.scalings
    assert again.index.equals(windows.index)
    assert (np.asarray(again.codes) == windows.codes).all()


def test_an_interval_that_cannot_be_meant_is_named(tmp_path: Path) -> None:
    frame = small.telemetry(devices=1, steps=3)
    frame["time"] = [small.START, small.START + pd.Timedelta(days=900), small.START + pd.Timedelta(days=9000)]
    with pytest.raises(InputError, match="device d0 sent 3 rows over 9,000 days"):
        cut(tmp_path, frame)


def test_nothing_to_cut_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no window of 8 steps is left"):
        cut(tmp_path, small.telemetry(steps=5))


@given(profiles=st.lists(st.sampled_from("abc"), min_size=4, max_size=60), share=st.floats(0.05, 0.9), seed=st.integers(0, 99))
def test_the_split_takes_the_exact_share_in_proportion(profiles: list[str], share: float, seed: int) -> None:
    names = [f"d{i}" for i in range(len(profiles))]
    chosen = stratified(names, profiles, share, seed)
    assert len(chosen) == min(max(round(share * len(names)), 1), len(names) - 1)
    for stratum in set(profiles):
        members = [n for n, p in zip(names, profiles, strict=True) if p == stratum]
        taken = len(chosen & set(members))
        assert share * len(members) - 1 <= taken <= share * len(members) + 1
    assert chosen == stratified(names, profiles, share, seed)


def test_a_period_holds_out_every_window_that_reaches_into_it(tmp_path: Path) -> None:
    after = "2026-03-01T01:02:00+00:00"
    windows = cut(tmp_path, small.telemetry(), evaluation={"split": "period", "after": after})
    assert (windows.index["end"][windows.train] <= pd.Timestamp(after)).all()
    assert (windows.index["end"][windows.test] > pd.Timestamp(after)).all()


@pytest.mark.parametrize("after", ["2026-03-01T01:00:00", "noon"])
def test_a_time_without_offset_or_sense_is_refused(tmp_path: Path, after: str) -> None:
    with pytest.raises(InputError, match=r"evaluation\.after"):
        cut(tmp_path, small.telemetry(), evaluation={"split": "period", "after": after})


@pytest.mark.parametrize("after", ["2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z"])
def test_a_split_without_one_of_its_parts_is_refused(tmp_path: Path, after: str) -> None:
    with pytest.raises(InputError, match="no window is"):
        cut(tmp_path, small.telemetry(), evaluation={"split": "period", "after": after})


def _groups(made: Workspace, rows: str) -> Workspace:
    (made.root / "groups.csv").write_text("device_id,start,end,group\n" + rows)
    evaluation = made.settings.evaluation.model_copy(update={"split": "groups", "groups": "groups.csv", "holdout": 0.5})
    return replace(made, settings=made.settings.model_copy(update={"evaluation": evaluation}))


def test_groups_are_held_out_whole(tmp_path: Path) -> None:
    made = small.workspace(tmp_path / "w")
    windows = make_windows(made, dataset(tmp_path / "data", small.telemetry(devices=2)))
    hours = [f"{d},2026-03-01T0{h}:00:00Z,2026-03-01T0{h + 1}:00:00Z,g{h}\n" for d in ("d0", "d1") for h in (0, 1)]
    test = held_out(_groups(made, "".join(hours)), windows.index.drop(columns="split"))
    edge = pd.Timestamp("2026-03-01T01:00:00Z")
    second = bool(test[-1])
    wanted = windows.index["end"] > edge if second else windows.index["start"] < edge
    assert (test == wanted.to_numpy()).all()


def test_segments_cover_and_touch(tmp_path: Path) -> None:
    file = tmp_path / "s.csv"
    file.write_text(
        "device_id,start,end,value\nd0,2026-03-01T00:00:00Z,2026-03-01T00:10:00Z,a\nd0,2026-03-01T00:10:00Z,2026-03-01T00:30:00Z,b\n"
    )
    segments = read_segments(file, ("value",))
    starts = [small.START + pd.Timedelta(minutes=m) for m in (0, 4, 12, 28, 40)]
    index = pd.DataFrame({"device_id": "d0", "start": starts, "end": [s + pd.Timedelta(minutes=8) for s in starts]})
    assert covering(index, segments).tolist() == [0, -1, 1, -1, -1]
    assert touching(index, segments).tolist() == [True, True, True, True, False]


BAD_SEGMENTS = {
    "device_id,start,end\nd,2026-01-01,2026-01-02\n": "no column value",
    "device_id,start,end,value\nd,never,2026-01-02,x\n": "line 2: 'never' is no time",
    "device_id,start,end,value\nd,2026-01-02,2026-01-02,x\n": "line 2: end is not after start",
    "device_id,start,end,value\nd,2026-01-01,2026-01-02,\n": "line 2: a cell is empty",
    "device_id,start,end,value\n\nd,2026-01-01,2026-01-02,x\n,2026-01-01,2026-01-02,x\n": "line 4: a cell is empty",
    "device_id,start,end,value\nd,2026-01-01,2026-01-02,x,y\n": "line 2: 5 cells under 4 columns",
}


@pytest.mark.parametrize("text", BAD_SEGMENTS)
def test_segments_that_cannot_be_meant_are_named_by_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError, match=BAD_SEGMENTS[text]):
        read_segments(tmp_path / "s.csv", ("value",))


def test_segments_that_are_not_there_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_segments(tmp_path / "s.csv", ())
