"""Sensors that do not keep the sampling interval: what firmware would feed is what training reads."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.features.grid import make_grid
from components.features.streams import with_streams
from components.features.windows import make_windows
from components.workspace.errors import InputError
from components.workspace.settings import Settings, Telemetry
from tests.features.test_streams import ERRORS, contract
from tests.features.test_windows import dataset
from tests.ingestion import small


def declared(**pressure: Any) -> dict[str, Any]:
    """The small contract with ``pressure`` sampled in another way."""
    telemetry = small.settings()["telemetry"]
    first, second = telemetry["channels"]
    return telemetry | {"channels": [first | pressure, second]}


def contract_of(**pressure: Any) -> Telemetry:
    return Settings.model_validate(small.settings(telemetry=declared(**pressure))).telemetry


def rows(seconds: list[float], pressure: list[float], device: str = "d0") -> pd.DataFrame:
    frame = small.telemetry(devices=1, steps=len(seconds)).assign(device_id=device)
    return frame.assign(time=small.START + pd.to_timedelta(seconds, unit="s"), pressure=np.float32(pressure))


@settings(max_examples=60, deadline=None)
@given(
    sent=st.lists(st.tuples(st.integers(0, 1500), st.one_of(st.none(), st.integers(0, 9))), min_size=1, max_size=40),
    hold=st.integers(1, 8),
    how=st.sampled_from(["last", "mean", "max"]),
)
def test_a_device_that_closes_a_slot_every_interval_feeds_the_same_values(
    sent: list[tuple[int, int | None]], hold: int, how: str
) -> None:
    sent = sorted(sent, key=lambda one: one[0])
    frame = rows([s for s, _ in sent], [np.nan if v is None else v for _, v in sent])
    grid = make_grid(frame, contract_of(hold_s=60.0 * hold, aggregate=how))
    aggregate = {"last": lambda v: v[-1], "mean": np.mean, "max": max}[how]
    first = (sent[0][0] + 30) // 60
    age, held = hold + 1, np.nan
    for place, got in enumerate(grid.values[:, 0]):
        came_in = [v for s, v in sent if (s + 30) // 60 == first + place and v is not None]
        if came_in:
            held, age = float(aggregate(came_in)), 0
        elif age <= hold:
            age += 1
        assert got == pytest.approx(held if age <= hold else np.nan, nan_ok=True)


def test_a_sensor_that_reports_changes_makes_the_windows_of_one_that_always_reports(tmp_path: Path) -> None:
    frame = small.telemetry()
    rng = np.random.default_rng(1)
    level = np.repeat(rng.integers(0, 10, len(frame) // 6 // 5), 5)
    for name, part in frame.groupby("device_id"):
        frame.loc[part.index, "pressure"] = np.roll(level, int(str(name)[1:]))[: len(part)].astype(np.float32)
    regular = make_windows(small.workspace(tmp_path / "a"), dataset(tmp_path / "a", frame))
    before = frame.groupby("device_id")["pressure"].shift()
    frame["pressure"] = frame["pressure"].where(frame["pressure"] != before)
    on_change = make_windows(small.workspace(tmp_path / "b", telemetry=declared(hold_s=3600.0)), dataset(tmp_path / "b", frame))
    assert np.isnan(frame["pressure"]).mean() > 0.5
    assert np.array_equal(on_change.values, regular.values)
    assert np.array_equal(on_change.codes, regular.codes)


def test_slots_without_a_row_are_filled_and_take_part_in_records(tmp_path: Path) -> None:
    """A held value is a sample: what the log says at its time is told there."""
    telemetry = Settings.model_validate(small.settings(**contract(ERRORS, telemetry=_with_errors()))).telemetry
    grid = make_grid(rows([0, 300], [3.0, 4.0]), telemetry)
    filled, _ = with_streams(grid, telemetry, {"log": _log(tmp_path, 100)})
    assert filled.values[:, 0].tolist() == pytest.approx([3, 3, 3, np.nan, np.nan, 4], nan_ok=True)
    assert filled.values[:, 2].tolist() == pytest.approx([0, 0, 1, np.nan, np.nan, 0], nan_ok=True)


def test_no_value_stands_on_another_device(tmp_path: Path) -> None:
    frame = pd.concat([rows([0, 60], [3.0, 4.0]), rows([0, 60], [np.nan, 5.0], "d1")], ignore_index=True)
    assert make_grid(frame, contract_of(hold_s=600.0)).values[:, 0].tolist() == pytest.approx([3, 4, np.nan, 5], nan_ok=True)


def test_energy_of_an_interval_is_the_sum_of_what_was_sent() -> None:
    grid = make_grid(rows([0, 40, 70, 80, 200], [1, 2, 3, np.nan, 5]), contract_of(aggregate="sum"))
    assert grid.values[:, 0].tolist() == pytest.approx([1, 5, np.nan, 5], nan_ok=True)


@pytest.mark.parametrize(
    ("pressure", "message"),
    [
        ({"hold_s": 59.0}, "hold_s of pressure is below interval_s"),
        ({"hold_s": 600.0, "aggregate": "sum"}, "a sum over an interval does not stand for the next"),
        ({"hold_s": -1.0}, "greater than 0"),
    ],
)
def test_what_cannot_stand_is_refused(tmp_path: Path, pressure: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small.workspace(tmp_path / "w", telemetry=declared(**pressure))


def test_records_are_told_at_every_sample_and_neither_held_nor_summed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no aggregate, no hold_s"):
        small.workspace(tmp_path / "w", **contract(ERRORS | {"hold_s": 600.0}))


def _with_errors() -> dict[str, Any]:
    telemetry = declared(hold_s=120.0)
    flow = telemetry["channels"][1] | {"hold_s": 120.0}
    return telemetry | {"channels": [telemetry["channels"][0], flow, ERRORS]}


def _log(folder: Path, seconds: int) -> Any:
    from components.features.records import read_records

    (folder / "log.csv").write_text(f"device_id,time,code\nd0,{(small.START + pd.Timedelta(seconds=seconds)).isoformat()},E1\n")
    return read_records(folder / "log.csv")
