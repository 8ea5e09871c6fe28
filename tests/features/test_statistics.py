"""Window statistics agree with their definitions, gaps or not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.features.statistics import SCALED, STATISTICS, window_statistics
from components.features.windows import make_windows
from tests.features.test_windows import dataset
from tests.ingestion import small


def table(tmp_path: Path, frame: pd.DataFrame):
    made = small.workspace(tmp_path / "w")
    windows = make_windows(made, dataset(tmp_path / "data", frame))
    return windows, window_statistics(made, windows)


def test_statistics_follow_their_definitions_with_gaps(tmp_path: Path) -> None:
    frame = small.telemetry(steps=60)
    frame.loc[frame.index[::7], "pressure"] = np.nan
    windows, numbers = table(tmp_path, frame)
    hours = np.arange(8) / 60
    for position in range(0, len(windows), 11):
        sample = windows.values[position, :, 0].astype(float)
        present = ~np.isnan(sample)
        row = numbers.iloc[position]
        wanted = {
            "mean": sample[present].mean(),
            "std": sample[present].std(),
            "min": sample[present].min(),
            "max": sample[present].max(),
            "range": np.ptp(sample[present]),
            "slope": np.polyfit(hours[present], sample[present], 1)[0],
            "diff_std": np.nanstd(np.diff(sample)),
            "missing": 1 - present.mean(),
        }
        for name, value in wanted.items():
            assert row[f"pressure_{name}"] == pytest.approx(value, rel=1e-3, abs=1e-4), name


def test_deviations_are_in_units_of_the_devices_own_calibration(tmp_path: Path) -> None:
    windows, numbers = table(tmp_path, small.telemetry())
    early = (windows.index["end"] <= small.START + pd.Timedelta(minutes=40)).to_numpy()
    assert abs(numbers["flow_z_mean"][early].mean()) < 0.3
    assert numbers["flow_z_std"][early].mean() == pytest.approx(1, abs=0.35)


def test_a_frozen_sensor_is_stuck_and_a_silent_one_missing(tmp_path: Path) -> None:
    frame = small.telemetry(devices=4, steps=40)
    frame.loc[(frame["device_id"] == "d0"), "pressure"] = np.float32(5)
    frame.loc[(frame["device_id"] == "d1"), "flow"] = np.nan
    windows, numbers = table(tmp_path, frame)
    device = windows.index["device_id"]
    assert (numbers["pressure_stuck"][device == "d0"] == 1).all()
    assert (numbers["pressure_stuck"][device == "d2"] < 0.5).all()
    assert (numbers["flow_missing"][device == "d1"] == 1).all()
    assert numbers["flow_mean"][device == "d1"].isna().all()


def test_a_sine_holds_its_energy_at_one_frequency(tmp_path: Path) -> None:
    frame = small.telemetry(devices=4, steps=40)
    minute = (frame["time"] - small.START).dt.total_seconds() / 60
    frame.loc[frame["device_id"] == "d0", "flow"] = (40 + 5 * np.sin(2 * np.pi * minute / 4)).astype(np.float32)
    windows, numbers = table(tmp_path, frame)
    assert (numbers["flow_energy"][windows.index["device_id"] == "d0"] > 0.99).all()


def test_there_is_a_column_for_every_channel_and_statistic(tmp_path: Path) -> None:
    _, numbers = table(tmp_path, small.telemetry(steps=40))
    wanted = [f"{c}_{s}" for c in ("pressure", "flow") for s in STATISTICS]
    assert numbers.columns.tolist() == wanted + [f"{c}_z_{s}" for c in ("pressure", "flow") for s in SCALED]
    assert set(map(str, numbers.dtypes)) == {"float32"}
