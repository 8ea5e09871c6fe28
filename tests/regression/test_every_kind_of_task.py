"""One workspace with anomalies, classes and a number: one encoder, one artefact a profile, proven in three runtimes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from components.values import Artefact
from tests.flows.running import muster
from tests.regression import worn_pumps

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("worn-pumps")]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = worn_pumps.make(tmp_path_factory.mktemp("worn") / "pumps")
    (root / "run.json").write_text(muster("run", root, "--json").stdout)
    return root


def test_the_run_ends_with_all_tasks_in_every_proven_artefact(ran: Path) -> None:
    data = json.loads((ran / "run.json").read_text())["data"]
    metrics = data["metrics"]
    assert {key.split("/")[0] for key in metrics} == {"anomaly", "state", "life"}
    assert metrics["life/electra/rmse"] < 0.1 * worn_pumps.RANGE[1]
    assert metrics["life/electra/last_rmse"] < 0.1 * worn_pumps.RANGE[1]
    assert metrics["life/gradient_boosting/rmse"] < 0.1 * worn_pumps.RANGE[1]
    assert metrics["state/electra/macro_f1"] > 0.9
    assert data["labels"]["life"] > 0.6
    assert [row["passed"] for row in data["artefacts"]] == [True] * 3
    assert {row["runtime"] for row in data["artefacts"]} == {"onnxruntime", "litert", "c99"}
    for row in data["artefacts"]:
        assert row["metrics"]["life/rmse"] < 1.05 * metrics["life/electra/rmse"]


def test_the_label_report_counts_values_and_those_it_clipped(ran: Path) -> None:
    report = json.loads(muster("labels", "report", ran, "--json").stdout)["data"]
    (life,) = report["numbers"]
    assert (life["task"], life["unit"], life["range"]) == ("life", "cycles", [0.0, 300.0])
    assert 0 < life["clipped"] < 0.5
    assert 0.6 < life["coverage"] < 0.9
    assert "life" in muster("labels", "report", ran).stdout


def test_evaluate_sets_the_number_beside_boosting_with_intervals(ran: Path) -> None:
    truth = ran / "truth.csv"
    args = ("--data", ran / "raw", "--labels", truth, "--workspace", ran, "--held-out")
    judged = json.loads(muster("model", "evaluate", ran / "out" / "train", *args, "--json").stdout)["data"]
    methods = {m["method"]: m["metrics"] for m in judged["methods"]}
    for name in ("model", "gradient_boosting"):
        found = methods[name]["life/rmse"]
        assert found["low"] < found["value"] < found["high"]
        assert {"life/mae", "life/last_rmse", "life/last_phm08"} <= methods[name].keys()
    trained = json.loads((ran / "out" / "train" / "metrics.json").read_text())
    assert methods["model"]["life/rmse"]["value"] == pytest.approx(trained["life/electra/rmse"], rel=1e-3)
    assert "PHM08" in muster("model", "evaluate", ran / "out" / "train", *args).stdout


@pytest.mark.parametrize("profile", ["gateway-x86-64", "phone-litert"])
def test_an_artefact_scores_telemetry_in_the_unit_of_the_task(ran: Path, tmp_path: Path, profile: str) -> None:
    file = ran / "out" / "quantize" / profile / f"{profile}.artefact"
    muster("model", "score", file, "--data", ran / "raw", "--workspace", ran, "--out", tmp_path / "s.parquet")
    table = pd.read_parquet(tmp_path / "s.parquet")
    assert table["life"].between(*worn_pumps.RANGE).all()
    ends = table.groupby("device_id")["life"].last()
    assert (ends < 40).all()
    assert Artefact.load(file).units == {"life": "cycles"}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("pump-0,2026-01-01T00:00:00Z,2026-01-01T00:01:00Z,soon", "'soon' is no number of task 'life'"),
        ("pump-0,2026-01-01T00:00:00Z,2026-01-01T00:01:00Z,nan", "'nan' is no number of task 'life'"),
        ("elsewhere,2026-01-01T00:00:00Z,2026-01-01T00:01:00Z,3", "no value for the last step of a training window"),
        ("pump-0,2030-01-01T00:00:00Z,2030-01-01T00:01:00Z,3", "no value for the last step of a training window"),
    ],
)
def test_a_bad_gold_file_is_refused_by_file_and_line(ran: Path, broken: str, said: str) -> None:
    kept = (ran / "life.csv").read_text()
    (ran / "life.csv").write_text(f"device_id,start,end,value\n{broken}\n")
    try:
        done = muster("step", "label", ran, check=2)
    finally:
        (ran / "life.csv").write_text(kept)
    assert said in done.stderr
    assert "life.csv" in done.stderr
