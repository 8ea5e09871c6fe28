"""Numbers are judged at the last step of each window, and the last window of each device by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.training.evaluation import seconds
from components.training.judging.detector import Number
from components.training.judging.device import OnDevice
from components.training.judging.labels import read_labels
from components.training.judging.summary_numbers import summarise_numbers
from components.training.numbers import number_metrics, phm08, rmse, true_numbers
from components.workspace.errors import InputError
from components.workspace.settings import Channel, Telemetry
from tests.training import plant_telemetry as plant


def _index() -> pd.DataFrame:
    """Two devices with three and two windows of four minutes."""
    start = [plant.at(step) for step in (0, 4, 8, 0, 4)]
    return pd.DataFrame({"device_id": ["a"] * 3 + ["b"] * 2, "start": start, "end": [t + pd.Timedelta(minutes=4) for t in start]})


def _segments(rows: list[tuple[str, int, int, str]]) -> pd.DataFrame:
    devices, first, last, values = zip(*rows, strict=True)
    times = {"start": [plant.at(step) for step in first], "end": [plant.at(step) for step in last]}
    return pd.DataFrame({"device_id": devices, **times, "value": values})


def test_the_truth_is_the_value_at_the_last_step_inside_the_range() -> None:
    """Windows end with steps 3, 7 and 11; a value that ends before, or begins after, says nothing of them."""
    segments = _segments([("a", 0, 3, "9"), ("a", 3, 4, "5"), ("a", 4, 8, "300"), ("b", 7, 8, "-2")])
    wanted = true_numbers(_index(), segments, (0.0, 125.0), plant.INTERVAL_S)
    assert wanted.tolist()[:2] == [5.0, 125.0]
    assert np.isnan(wanted[2:4]).all()
    assert wanted[4] == 0.0
    assert seconds(_index()["end"])[0] - seconds(segments["start"])[1] == plant.INTERVAL_S


def test_metrics_follow_their_definitions() -> None:
    wanted, got = np.asarray([10.0, 20.0, 30.0, np.nan, 50.0]), np.asarray([13.0, 20.0, 26.0, 7.0, 60.0])
    found = number_metrics(_index(), wanted, got, "cycles")
    assert found["rmse"] == pytest.approx(np.sqrt((9 + 0 + 16 + 100) / 4))
    assert found["mae"] == pytest.approx((3 + 0 + 4 + 10) / 4)
    assert found["last_rmse"] == pytest.approx(np.sqrt((16 + 100) / 2))
    assert found["last_phm08"] == pytest.approx(np.exp(4 / 13) - 1 + np.exp(10 / 10) - 1)
    assert "last_phm08" not in number_metrics(_index(), wanted, got, "kWh")
    assert number_metrics(_index(), np.full(5, np.nan), got, "cycles") == {}


def test_to_promise_too_much_life_costs_more() -> None:
    assert phm08(np.asarray([20.0])) > phm08(np.asarray([-20.0])) > 0
    assert rmse(np.asarray([3.0, -4.0])) == pytest.approx(np.sqrt(12.5))


def test_rows_with_a_column_of_the_task_are_values_of_their_step(tmp_path: Path) -> None:
    detector = replace(plant.detector(), numbers={"life": Number("cycles", (0.0, 100.0))})
    rows = plant.telemetry(devices=2)[["device_id", "time"]].assign(life=np.nan)
    rows.loc[5, "life"] = 42.0
    telemetry = _contract()
    truth = read_labels(plant.written(rows, tmp_path / "labels.csv"), detector, telemetry)
    (said,) = truth.of("life").to_dict("records")
    assert (said["device_id"], said["start"], said["end"]) == ("d0", plant.at(5), plant.at(6))
    assert float(said["value"]) == 42.0
    assert truth.of("anomaly").empty


def test_a_truth_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="'soon'"):
        true_numbers(_index(), _segments([("a", 0, 4, "soon")]), (0.0, 1.0), plant.INTERVAL_S)


def test_over_devices_the_error_is_that_of_all_windows_together() -> None:
    random = np.random.default_rng(2)
    errors = [random.normal(0, 5, n) for n in (4, 9, 0, 6)]
    devices = [_device(e) for e in errors]
    found = summarise_numbers(devices, {"life": "cycles"}, seed=7)
    assert found["life/rmse"].value == pytest.approx(rmse(np.concatenate(errors)))
    last = np.asarray([e[-1] for e in errors if len(e)])
    assert found["life/last_rmse"].value == pytest.approx(rmse(last))
    assert found["life/last_phm08"].value == pytest.approx(phm08(last))
    assert found["life/rmse"].devices == 3
    assert found["life/rmse"].low < found["life/rmse"].value < found["life/rmse"].high


def _device(errors: np.ndarray) -> OnDevice:
    return OnDevice("d", "p", len(errors), 1.0, None, 0, 0, 0, 0, (), (), {}, {"life": errors})


def _contract() -> Telemetry:
    channels = [Channel(name=name, unit="1", range=(-100.0, 100.0)) for name in plant.CHANNELS]
    return Telemetry(device="device_id", interval_s=plant.INTERVAL_S, channels=tuple(channels))
