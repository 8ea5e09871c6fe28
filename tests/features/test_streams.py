"""A channel of records says at every sample what a device would find in its own log at that moment."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.features.grid import make_grid, with_lead
from components.features.records import read_records
from components.features.streams import with_streams
from components.features.windows import cut_unseen, make_windows
from components.runtime.scaling import FIXED
from components.values import Windows
from components.workspace import Workspace
from components.workspace.errors import InputError, NotFound
from components.workspace.settings import Settings
from flows.steps import find
from tests.features.test_windows import dataset
from tests.ingestion import small

ERRORS = {"name": "errors", "unit": "1", "range": [0.0, 5.0], "records": {"source": "log", "codes": ["E*"], "value": "count"}}
SERVICED = {"name": "serviced", "unit": "h", "range": [0.0, 1.5], "records": {"source": "log", "codes": ["S1"], "value": "since"}}


def contract(*channels: dict[str, Any], **changes: Any) -> dict[str, Any]:
    telemetry = small.settings()["telemetry"]
    return {
        "telemetry": telemetry | {"channels": [*telemetry["channels"], *channels]},
        "records": {"log": "log.csv"},
        "evaluation": {"split": "period", "after": "2026-03-01T01:20:00Z"},
    } | changes


def workspace(root: Path, log: list[tuple[str, str, str]], *channels: dict[str, Any]) -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    lines = [f"{device},{time},{code}" for device, time, code in log]
    (root / "log.csv").write_text("\n".join(["device_id,time,code", *lines]) + "\n")
    return small.workspace(root, **contract(*(channels or (ERRORS, SERVICED))))


def cut(tmp_path: Path, log: list[tuple[str, str, str]]) -> tuple[Windows, list[str]]:
    notes: list[str] = []
    made = workspace(tmp_path / "w", log)
    return make_windows(made, dataset(tmp_path / "data", small.telemetry()), notes.append), notes


def after(seconds: float) -> str:
    return str((small.START + pd.Timedelta(seconds=seconds)).isoformat())


@settings(max_examples=40, deadline=None)
@given(
    samples=st.lists(st.integers(0, 40), min_size=1, max_size=25, unique=True).map(sorted),
    jitter=st.integers(-29, 29),
    happened=st.lists(st.integers(-600, 2600), max_size=30).map(sorted),
    lead=st.integers(0, 3),
)
def test_a_device_that_counts_its_own_log_gets_the_same_numbers(
    tmp_path_factory: pytest.TempPathFactory, samples: list[int], jitter: int, happened: list[int], lead: int
) -> None:
    """Whatever is sampled and whenever things happen: firmware that counts since its last sample agrees with the grid."""
    root = tmp_path_factory.mktemp("log")
    (root / "log.csv").write_text("device_id,time,code\n" + "".join(f"d0,{after(s)},E1\n" for s in happened))
    taken = [60 * minute + jitter for minute in samples]
    frame = small.telemetry(devices=1, steps=len(taken))
    frame["time"] = small.START + pd.to_timedelta(taken, unit="s")
    since = SERVICED | {"range": [0.0, 1e6], "unit": "s", "records": {"source": "log", "value": "since"}}
    telemetry = Settings.model_validate(small.settings(**contract(ERRORS | {"range": [0.0, 99.0]}, since))).telemetry
    grid, _ = with_streams(make_grid(frame, telemetry), telemetry, {"log": read_records(root / "log.csv")})
    grid = with_lead(grid, lead)
    found = grid.values[grid.heard][:, 2:].tolist()
    before = taken[0] - 60
    for moment, (count, age) in zip(taken, found, strict=True):
        assert count == sum(before < s <= moment for s in happened)
        past = [s for s in happened if s <= moment]
        assert age == (moment - max(past) if past else 1e6)
        before = moment
    assert np.isnan(grid.values[~grid.heard]).all()


def test_codes_are_chosen_by_pattern_and_values_end_with_the_range(tmp_path: Path) -> None:
    log = [("d0", after(125), f"E{n}") for n in range(9)] + [("d0", after(125), "S1"), ("d1", after(60), "S2")]
    windows, _ = cut(tmp_path, log)
    first = windows.values[0]
    assert windows.channels == ("pressure", "flow", "errors", "serviced")
    assert first[:, 2].tolist() == [0, 0, 0, 5, 0, 0, 0, 0]
    assert first[:, 3].tolist() == pytest.approx([1.5, 1.5, 1.5, *((60 * s - 125) / 3600 for s in (3, 4, 5, 6, 7))])
    assert (windows.values[:, :, 3][(windows.index["device_id"] == "d1").to_numpy()] == 1.5).all()


def test_one_scaling_serves_channels_of_records_on_every_device(tmp_path: Path) -> None:
    """0 is code 0 and the end of the range 127, whatever a device saw in its first samples."""
    windows, _ = cut(tmp_path, [("d0", after(60 * m), "E1") for m in range(40) for _ in range(m % 4)])
    assert windows.calibration.min_deviation[2:] == (FIXED, FIXED)
    assert len({(s.center[2], s.multiplier[2]) for s in windows.scalings.values()}) == 1
    assert np.array_equal(windows.codes[:, :, 2], np.rint(windows.values[:, :, 2] * 127 / 5).astype(int))
    assert set(np.unique(windows.codes[:, :, 3])) == {127}


def test_records_that_find_no_sample_are_said(tmp_path: Path) -> None:
    odd = ERRORS | {"records": ERRORS["records"] | {"codes": ["E1", "F*"]}}
    made = workspace(
        tmp_path / "w",
        [("d0", after(60), "E1"), ("d0", after(-9999), "E1"), ("x7", after(60), "E1"), ("d0", after(9), "S1")],
        odd,
    )
    notes: list[str] = []
    make_windows(made, dataset(tmp_path / "data", small.telemetry()), notes.append)
    assert notes == [
        "channel errors: no record in log.csv has a code like 'F*': it has E1, S1",
        "channel errors: log.csv: 1 of 3 records are of devices without telemetry (x7)",
        "channel errors: log.csv: 1 of 3 records lie outside the time of their device's telemetry",
    ]


def test_a_log_of_other_devices_altogether_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"log.csv: no record is of a device with telemetry; the first is of 'pump-1'"):
        cut(tmp_path, [("pump-1", after(60), "E1")])


def test_a_log_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    made = small.workspace(tmp_path / "w", **contract(ERRORS))
    with pytest.raises(NotFound, match=r"no file .*log.csv"):
        make_windows(made, dataset(tmp_path / "data", small.telemetry()))


def test_unseen_telemetry_reads_the_same_channels(tmp_path: Path) -> None:
    log = [("d0", after(60 * m), "E1") for m in range(0, 120, 7)]
    windows, _ = cut(tmp_path, log)
    made, frame = workspace(tmp_path / "w", log), small.telemetry().sort_values(["device_id", "time"], ignore_index=True)
    streams = {"log": read_records(tmp_path / "w" / "log.csv")}
    again, notes = cut_unseen(
        frame, made.settings.telemetry, made.settings.windows, windows.converter, windows.calibration, streams
    )
    assert np.array_equal(again.codes, windows.codes)
    assert notes == ("channel serviced: no record in log.csv has a code like 'S1': it has E1",)


def test_features_are_made_anew_when_a_log_changes(tmp_path: Path) -> None:
    step = find("features")
    before = step.outside(workspace(tmp_path / "w", [("d0", after(60), "E1")]), "")
    after_it = step.outside(workspace(tmp_path / "w", [("d0", after(61), "E1")]), "")
    assert before != after_it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"range": [1.0, 5.0]}, "its range starts at 0, not at 1"),
        ({"records": {"source": "log", "value": "since"}}, "its unit is one of s, min, h, d, not '1'"),
        ({"records": {"source": "lgo", "value": "count"}}, "channel 'errors' is made of 'lgo'; records: names log"),
        ({"role": "condition"}, "cannot tell the operating condition"),
    ],
)
def test_a_channel_of_records_that_cannot_be_made_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small.workspace(tmp_path / "w", **contract(ERRORS | change))


def test_not_all_channels_may_be_of_records(tmp_path: Path) -> None:
    telemetry = small.settings()["telemetry"] | {"channels": [ERRORS]}
    with pytest.raises(InputError, match="declare at least one that is measured"):
        small.workspace(tmp_path / "w", **contract(telemetry=telemetry))
