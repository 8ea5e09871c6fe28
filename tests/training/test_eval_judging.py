"""A finished model is judged on files of telemetry and labels: what is known of a small plant comes out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.features.windows import cut_unseen, make_windows
from components.training.judging.judge import judge
from components.training.judging.labels import read_labels
from components.training.judging.page import evaluation_page, method_tables
from components.training.judging.result import Evaluation
from components.training.judging.scoring import step_table, window_table
from components.training.judging.telemetry import read_windows
from components.values import Dataset
from components.workspace import Workspace
from components.workspace.errors import InputError, NotFound
from components.workspace.settings import Settings
from tests.training.plant_telemetry import (
    BROKEN,
    CHANNELS,
    CLASSES,
    INTERVAL_S,
    STEPS,
    at,
    detector,
    row_labels,
    segments,
    telemetry,
    written,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plant")
    written(telemetry(), root / "data.parquet")
    written(segments(), root / "segments.csv")
    return root


@pytest.fixture(scope="module")
def judged(folder: Path) -> Evaluation:
    return judge(detector(), folder / "data.parquet", folder / "segments.csv")


def _workspace(root: Path, **changes: object) -> Workspace:
    channels = [{"name": c, "unit": "1", "range": [-60.0, 60.0], "lsb": 0.01} for c in CHANNELS]
    settings = {
        "name": "plant",
        "storage": {"source": "raw"},
        "telemetry": {"interval_s": INTERVAL_S, "channels": channels, **changes},
        "windows": {"steps": STEPS, "stride": STEPS // 2, "calibration_steps": 120},
        "tasks": [{"name": "anomaly", "kind": "anomaly"}],
        "profiles": ["gateway"],
        "fleets": [{"name": "all", "inventory": "fleet.csv", "variants": [{"name": "any", "firmware": ">=1"}]}],
        "release": {"stages": [{"name": "all", "share": 1.0}]},
    }
    return Workspace(root, Settings.model_validate(settings), ())


def test_the_known_faults_are_found_in_time_and_blamed_on_their_channels(judged: Evaluation) -> None:
    found = judged.model.metrics
    assert found["event_recall"].value == found["event_precision"].value == found["event_f1"].value == 1.0
    assert found["vus_pr"].value > 0.9
    assert found["hit_rate_100"].value == found["hit_rate_150"].value == 1.0
    assert found["vus_pr"].devices == len(BROKEN)
    # Two hot windows of 16 steps, 8 apart, at least half in the fault: known 16 to 24 steps after it began.
    assert 8 * INTERVAL_S <= found["detection_delay_s"].value <= 24 * INTERVAL_S


def test_every_baseline_stands_beside_the_model_and_beats_chance(judged: Evaluation) -> None:
    areas = {m.name: m.metrics["vus_pr"].value for m in judged.methods}
    assert list(areas) == ["model", "chance", "mean_z", "pca", "sub_pca", "k_means", "isolation_forest"]
    assert all(area > areas["chance"] + 0.2 for name, area in areas.items() if name != "chance")
    leads = {m.name: m.lead.value for m in judged.methods if m.lead}
    assert leads["chance"] == pytest.approx(areas["model"] - areas["chance"])


def test_windows_that_baselines_learned_from_are_not_judged_and_that_is_said(judged: Evaluation) -> None:
    assert judged.windows.index["start"].min() > at(int(0.29 * 960))
    assert any("not judged" in note for note in judged.notes)


def test_rows_and_segments_of_the_same_labels_give_the_same_metrics(folder: Path, judged: Evaluation) -> None:
    rows = written(row_labels(telemetry()), folder / "rows.parquet")
    other = judge(detector(), folder / "data.parquet", rows)
    for name in ("vus_pr", "auc_pr", "event_recall", "event_precision", "detection_delay_s"):
        assert other.model.metrics[name] == judged.model.metrics[name]
    assert "hit_rate_100" not in other.model.metrics


def test_csv_and_parquet_file_and_folder_give_the_same_scores(folder: Path, tmp_path: Path) -> None:
    frame = telemetry(devices=3)
    (tmp_path / "parts").mkdir()
    for device, part in frame.groupby("device_id"):
        written(part.assign(remark="not read"), tmp_path / "parts" / f"{device}.csv")
    one = read_windows(detector(), written(frame, tmp_path / "all.parquet"), None)[0]
    many = read_windows(detector(), tmp_path / "parts", None)[0]
    assert np.array_equal(one.codes, many.codes)
    pd.testing.assert_frame_equal(one.index, many.index)


def test_unseen_windows_are_those_the_feature_step_would_make(tmp_path: Path) -> None:
    """Same calibration, same codes: what is judged is what was trained on."""
    workspace = _workspace(tmp_path)
    written(telemetry(), tmp_path / "data.parquet")
    unseen, _ = read_windows(detector(), tmp_path / "data.parquet", workspace)
    frame = telemetry().assign(hardware_profile="", firmware_version="", site="")
    frame["time"] = frame["time"].dt.as_unit("us")
    written(frame, tmp_path / "accepted.parquet")
    made = make_windows(workspace, Dataset(tmp_path, len(frame), 0, 0, 6, ""))
    again, _ = cut_unseen(frame, workspace.settings.telemetry, workspace.settings.windows, made.converter, made.calibration)
    assert np.array_equal(again.codes, made.codes)
    assert again.scalings == made.scalings
    pd.testing.assert_frame_equal(again.index.drop(columns="split"), made.index.drop(columns="split"))
    pd.testing.assert_frame_equal(unseen.index, again.index)


def test_a_jittering_clock_does_not_change_the_interval_that_is_told_without_a_workspace(tmp_path: Path) -> None:
    frame = telemetry(devices=2)
    frame["time"] += pd.to_timedelta(np.random.default_rng(0).normal(0, 0.3, len(frame)), unit="s")
    _, contract = read_windows(detector(), written(frame, tmp_path / "data.parquet"), None)
    assert contract.telemetry.interval_s == INTERVAL_S


def test_numbers_since_an_epoch_are_read_as_the_workspace_says(tmp_path: Path) -> None:
    time = {"column": "t", "epoch": "2026-01-01T00:00:00Z", "unit": "step"}
    workspace = _workspace(tmp_path, time=time)
    counted = row_labels(telemetry()).assign(t=lambda f: ((f["time"] - at(0)).dt.total_seconds() / INTERVAL_S).astype(int))
    frame = telemetry().assign(t=counted["t"]).drop(columns="time")
    data = written(frame, tmp_path / "data.parquet")
    labels = written(counted.drop(columns="time"), tmp_path / "labels.csv")
    found = judge(detector(), data, labels, workspace)
    assert found.model.metrics["event_recall"].value == 1.0
    assert found.truths[1].index["start"].iloc[0].year == 2026


def test_class_names_are_classes_and_whatever_is_not_normal_is_an_anomaly(folder: Path, tmp_path: Path) -> None:
    named = segments().drop(columns="root_cause").assign(value="leak")
    found = judge(detector(), folder / "data.parquet", written(named, tmp_path / "classes.csv"))
    assert found.model.metrics["event_recall"].value == 1.0
    (fault,) = found.tasks
    assert fault.confusion.sum() == len(found.windows)
    leak = fault.classes[CLASSES.index("leak")]
    assert leak.precision == pytest.approx(1.0)
    assert leak.recall is not None
    assert 0.4 < leak.recall < 0.9  # d3's fault is in the heat alone: by flow it is no leak
    assert fault.classes[CLASSES.index("clog")].f1 is None
    assert "fault/macro_f1" in found.model.metrics


def test_a_detector_without_an_anomaly_task_is_judged_by_its_classes_alone(folder: Path, tmp_path: Path) -> None:
    named = written(segments().drop(columns="root_cause").assign(value="leak"), tmp_path / "classes.csv")
    found = judge(detector(anomaly=""), folder / "data.parquet", named)
    assert set(found.model.metrics) == {"fault/macro_f1"}
    assert len(found.methods) == 1
    assert "macro-F1" in evaluation_page(found)


def test_without_anomalies_metrics_are_absent_and_said_and_nothing_is_nan(folder: Path, tmp_path: Path) -> None:
    normal = written(row_labels(telemetry()).assign(label=0), tmp_path / "normal.csv")
    found = judge(detector(), folder / "data.parquet", normal)
    assert {"vus_pr", "auc_pr", "event_recall", "detection_delay_s"}.isdisjoint(found.model.metrics)
    assert "alarms_per_device_day" in found.model.metrics
    assert any("no judged window is labelled anomalous" in note for note in found.notes)
    json.dumps(found.to_json(), allow_nan=False)
    assert "nan" not in str(method_tables(found))
    assert "Evaluation of by hand" in evaluation_page(found)


def test_devices_without_labels_are_left_out_of_rows_and_normal_in_segments(folder: Path, tmp_path: Path) -> None:
    rows = row_labels(telemetry())
    some = written(rows[rows["device_id"] != "d5"], tmp_path / "some.csv")
    found = judge(detector(), folder / "data.parquet", some)
    assert "d5" not in {t.device for t in found.truths}
    assert any(note == "1 of 6 devices have no label and were left out" for note in found.notes)
    assert any(
        "3 of 6 devices have no segment" in n for n in judge(detector(), folder / "data.parquet", folder / "segments.csv").notes
    )


def test_without_a_threshold_of_its_own_a_model_gets_one_as_baselines_do(folder: Path) -> None:
    found = judge(detector(threshold=None), folder / "data.parquet", folder / "segments.csv")
    assert found.model.threshold is not None
    assert -1 < found.model.threshold < 2
    assert found.model.metrics["event_recall"].value == 1.0


def test_an_anomaly_while_a_device_sent_nothing_is_neither_found_nor_missed(folder: Path, tmp_path: Path) -> None:
    frame = telemetry()
    silent = (frame["device_id"] == "d1") & (frame["time"] >= at(480)) & (frame["time"] < at(640))
    found = judge(detector(), written(frame[~silent], tmp_path / "data.parquet"), folder / "segments.csv")
    silenced = next(t for t in found.truths if t.device == "d1")
    assert not silenced.events
    assert found.model.metrics["event_recall"].value == 1.0
    assert found.model.metrics["vus_pr"].devices == len(BROKEN) - 1
    assert 160 - STEPS <= (~silenced.covered).sum() <= 160  # windows that miss less than half reach into the gap
    assert silenced.days == pytest.approx(silenced.covered.sum() * INTERVAL_S / 86_400)


def test_a_gap_inside_an_anomaly_makes_it_no_two(folder: Path, tmp_path: Path) -> None:
    frame = telemetry()
    silent = (frame["device_id"] == "d1") & (frame["time"] >= at(540)) & (frame["time"] < at(580))
    found = judge(detector(), written(frame[~silent], tmp_path / "data.parquet"), folder / "segments.csv")
    interrupted = next(t for t in found.truths if t.device == "d1")
    assert len(interrupted.events) == 1
    assert interrupted.steps.sum() < 120
    assert found.model.metrics["event_recall"].value == 1.0


def test_an_evaluation_is_the_same_every_time(folder: Path, judged: Evaluation) -> None:
    assert judge(detector(), folder / "data.parquet", folder / "segments.csv").to_json() == judged.to_json()


def test_the_page_shows_every_method_device_and_a_drawn_event_and_loads_nothing(judged: Evaluation) -> None:
    page = evaluation_page(judged)
    assert all(f"<td>{name}</td>" in page for name in [m.name for m in judged.methods] + [t.device for t in judged.truths])
    assert "Anomaly, found: d" in page
    assert page.count("<svg") >= 3
    assert "http" not in page and "<script" not in page


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.drop(columns="heat"), "no column heat"),
        (lambda f: f.iloc[:0], "no rows"),
        (lambda f: f.iloc[:10], "no window of 16 steps"),
        (lambda f: f.drop(columns="time"), "no column looks like the time"),
        (lambda f: f.drop(columns="device_id"), "no column looks like the device"),
        (lambda f: f.assign(time=range(len(f))), "no time since 1970"),
        (lambda f: f.assign(flow="much"), "holds"),
    ],
)
def test_telemetry_that_cannot_be_scored_is_one_clear_error(tmp_path: Path, change: object, says: str) -> None:
    data = written(change(telemetry(devices=2)), tmp_path / "data.parquet")  # type: ignore[operator]
    with pytest.raises(InputError, match=says) as raised:
        read_windows(detector(), data, None)
    assert raised.value.hint


def test_a_file_of_nothing_and_no_file_are_clear_errors(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        read_windows(detector(), tmp_path / "empty.csv", None)
    with pytest.raises(NotFound, match="no Parquet or CSV file"):
        read_windows(detector(), tmp_path / "nowhere", None)


def test_a_damaged_file_among_others_is_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"not Parquet")
    written(telemetry(devices=2), tmp_path / "b.parquet")
    windows, contract = read_windows(detector(), tmp_path, None)
    assert set(windows.index["device_id"]) == {"d0", "d1"}
    assert "1 of 2 files cannot be read and were left out" in contract.notes


def test_a_model_of_other_channels_does_not_fit_a_workspace(folder: Path, tmp_path: Path) -> None:
    other = replace(detector(), channels=("flow", "pressure", "speed"))
    with pytest.raises(InputError, match="the model reads flow, pressure, speed"):
        read_windows(other, folder / "data.parquet", _workspace(tmp_path))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (segments().assign(device_id="pump"), "no device of the data"),
        (segments().assign(start="2031-01-01T00:00:00Z", end="2031-01-02T00:00:00Z"), "labels from 2031"),
        (segments().assign(end=segments()["start"]), "end is not after start"),
        (segments().assign(start="yesterday"), "'yesterday' is no time"),
        (segments().assign(root_cause="speed"), "speed: no channel of the model"),
        (segments().drop(columns=["start"]), "neither start and end nor time"),
        (segments().drop(columns=["device_id"]), "no column device_id"),
        (row_labels(telemetry(devices=1)).rename(columns={"label": "verdict"}), "no column label"),
        (row_labels(telemetry(devices=1)).iloc[:0], "no row of labels"),
        (row_labels(telemetry(devices=1)).assign(label="rust"), "'rust' is neither 0 nor 1 nor a class"),
        (row_labels(telemetry(devices=1)).iloc[:20], "no labelled window is left"),
    ],
)
def test_labels_that_do_not_fit_are_one_clear_error(folder: Path, tmp_path: Path, labels: pd.DataFrame, says: str) -> None:
    file = written(labels, tmp_path / "labels.csv")
    with pytest.raises(InputError, match=says) as raised:
        judge(detector(), folder / "data.parquet", file)
    assert raised.value.hint


def test_segments_of_foreign_tasks_are_left_out_and_said(folder: Path) -> None:
    mixed = segments().assign(task=["anomaly", "anomaly", "wear"], value="anomaly")
    _, contract = read_windows(detector(), folder / "data.parquet", None)
    truth = read_labels(written(mixed, folder / "mixed.csv"), detector(), contract.telemetry)
    assert len(truth.of("anomaly")) == 2
    assert truth.notes == ("1 segments of wear: no task of this model",)


def test_scores_name_alarms_classes_and_the_channels_to_blame(folder: Path) -> None:
    windows, contract = read_windows(detector(), folder / "data.parquet", None)
    table = window_table(detector(), windows)
    assert len(table) == len(windows)
    inside = (table["device_id"] == "d3") & (table["start"] >= at(700)) & (table["end"] <= at(790))
    assert (table.loc[inside, "channel_1"] == "heat").all()
    assert (table.loc[inside, "share_1"] > 0.8).all()
    assert table.loc[inside, "alarm"].iloc[1:].all()
    assert not table.loc[table["device_id"] == "d0", "alarm"].any()
    shares = table[["share_1", "share_2", "share_3"]]
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_allclose(table[[f"fault_{c}" for c in CLASSES]].sum(axis=1), 1.0)
    leak = (table["device_id"] == "d1") & (table["start"] >= at(500)) & (table["end"] <= at(620))
    assert (table.loc[leak, "fault"] == "leak").all()
    steps = step_table(detector(), windows, contract.telemetry.interval_s)
    broken = steps[(steps["device_id"] == "d3") & (steps["time"] >= at(705)) & (steps["time"] < at(785))]
    assert len(broken) == 80
    assert (broken["residual_heat"] > broken["residual_flow"]).mean() > 0.95
