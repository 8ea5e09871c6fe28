"""Operating conditions are learned from training samples, and windows may begin before a device's first one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.features.conditions import learn_conditions
from components.features.grid import make_grid, with_lead
from components.features.windows import make_windows
from components.runtime.conditions import DEVIATION, MISSING_RAW
from components.runtime.scaling import MISSING_CODE
from components.values import Windows
from components.workspace.errors import InputError
from components.workspace.settings import Settings
from tests.features.test_windows import dataset
from tests.ingestion import small

LEVELS = np.asarray([-20000, 0, 20000])


def test_a_channel_stands_alike_in_every_regime_and_the_commonest_comes_first() -> None:
    """Three speeds, at each of which the pressure lies elsewhere and swings otherwise."""
    random = np.random.default_rng(1)
    regime = random.choice(3, 6000, p=(0.2, 0.5, 0.3))
    pressure = np.asarray([9000, -3000, 500])[regime] + random.normal(0, 1, 6000) * np.asarray([20, 300, 90])[regime]
    raw = np.stack([LEVELS[regime] + random.normal(0, 30, 6000), pressure], axis=1).astype(np.int16)
    raw[::50, 1] = MISSING_RAW
    conditions = learn_conditions(_telemetry(), 3, raw, seed=7)
    assert conditions is not None
    assert np.abs(np.asarray(conditions.point)[:, 0] - LEVELS[[1, 2, 0]]).max() < 20
    read = conditions.applied(raw)
    assert (read[:, 0] == raw[:, 0]).all()
    for r in range(3):
        mine = read[(regime == r) & (raw[:, 1] != MISSING_RAW), 1].astype(float)
        assert abs(np.median(mine)) < DEVIATION / 10
        assert np.abs(mine).mean() == pytest.approx(DEVIATION, rel=0.05)


def test_without_conditions_samples_stay_as_they_are(tmp_path: Path) -> None:
    assert learn_conditions(_telemetry(), 1, np.zeros((10, 2), np.int16), 7) is None
    assert _cut(tmp_path, small.telemetry()).calibration.conditions is None


def test_fewer_samples_than_regimes_is_an_error() -> None:
    with pytest.raises(InputError, match="too few for 3 regimes"):
        learn_conditions(_telemetry(), 3, np.zeros((2, 2), np.int16), 7)


def test_a_window_before_the_first_sample_is_missing_there_and_nowhere_else(tmp_path: Path) -> None:
    frame = small.telemetry(steps=30)
    plain = _cut(tmp_path / "a", frame)
    led = _cut(tmp_path / "b", frame, windows={"lead": 6, "max_missing": 0.9})
    first = led.index.groupby("device_id").head(1).index
    assert (led.codes[first, :6] == MISSING_CODE).all()
    assert not np.isnan(led.values[first, 6:]).any()
    assert led.scalings == plain.scalings
    assert (led.index.loc[first, "start"] == small.START - pd.Timedelta(minutes=6)).all()


def test_counted_from_the_end_the_last_window_ends_with_the_last_sample(tmp_path: Path) -> None:
    frame = small.telemetry(steps=31)
    last = frame.groupby("device_id")["time"].max() + pd.Timedelta(minutes=1)
    windows = _cut(tmp_path, frame, windows={"align": "end"})
    assert (windows.index.groupby("device_id")["end"].max() == last).all()
    assert (windows.index.groupby("device_id")["start"].diff().dropna() == pd.Timedelta(minutes=4)).all()
    assert len(windows) == 6 * 6


def test_a_lead_moves_no_sample() -> None:
    grid = make_grid(small.telemetry(devices=2, steps=5).sort_values(["device_id", "time"], ignore_index=True), _telemetry())
    led = with_lead(grid, 3)
    assert led.first_slot.tolist() == (grid.first_slot - 3).tolist()
    for device in range(2):
        a, b = grid.offsets[device], led.offsets[device] + 3
        assert np.array_equal(grid.values[a : a + 5], led.values[b : b + 5])
        assert np.isnan(led.values[b - 3 : b]).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"windows": {"steps": 8, "lead": 8}}, "below windows.steps"),
        ({"windows": {"regimes": 2}}, "go together"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings.model_validate(small.settings(**changes))


def _cut(tmp_path: Path, frame: pd.DataFrame, windows: dict[str, object] | None = None) -> Windows:
    changes = {"windows": small.settings()["windows"] | {"calibration_steps": 10} | (windows or {})}
    return make_windows(small.workspace(tmp_path / "w", **changes), dataset(tmp_path / "data", frame))


def _telemetry() -> object:
    settings = small.settings()
    settings["telemetry"]["channels"][0]["role"] = "condition"
    settings["windows"]["regimes"] = 3
    return Settings.model_validate(settings).telemetry
