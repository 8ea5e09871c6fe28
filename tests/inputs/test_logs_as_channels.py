"""What only a device's log tells is learned by the network and by trees, scored on unseen telemetry, and runs on the device."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.flows.running import muster
from tests.inputs import logging_plant

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("logging-plant")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = logging_plant.make(tmp_path_factory.mktemp("log") / "with", logging_plant.ERRORS, logging_plant.SERVICED)
    muster("train", root)
    return root


def test_a_log_that_carries_the_signal_is_learned(trained: Path, tmp_path: Path) -> None:
    """Without the log the same plant's leaks stay hidden from both kinds of model."""
    without = logging_plant.make(tmp_path / "without")
    muster("train", without)
    seen, blind = (json.loads((root / "out" / "train" / "metrics.json").read_text()) for root in (trained, without))
    for method in ("electra", "gradient_boosting"):
        assert seen[f"state/{method}/macro_f1"] > 0.85
        assert seen[f"state/{method}/macro_f1"] > blind[f"state/{method}/macro_f1"] + 0.2


def test_unseen_telemetry_is_scored_with_the_logs_of_the_workspace(trained: Path, tmp_path: Path) -> None:
    model, where = trained / "out" / "train", ("--data", trained / "raw", "--workspace", trained)
    judged = json.loads(
        muster("model", "evaluate", model, *where, "--labels", trained / "truth.csv", "--held-out", "--json").stdout
    )["data"]
    own = json.loads((model / "metrics.json").read_text())["state/electra/macro_f1"]
    found = {m["method"]: m["metrics"] for m in judged["methods"]}["model"]["state/macro_f1"]["value"]
    assert found == pytest.approx(own, abs=1e-6)
    muster("model", "score", model, *where, "--out", tmp_path / "scores.parquet")
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    log = trained / "log.csv"
    kept = log.read_text()
    log.write_text("device_id,time,code\n")
    try:
        muster("model", "score", model, *where, "--out", tmp_path / "silent.parquet")
    finally:
        log.write_text(kept)
    silent = pd.read_parquet(tmp_path / "silent.parquet")
    assert (scores["state"] == "leak").mean() > 3 * (silent["state"] == "leak").mean()


def test_the_artefact_keeps_the_logs_scaling_and_is_proven(trained: Path) -> None:
    muster("step", "quantize", trained)
    muster("step", "prove", trained)
    proof = json.loads(next((trained / "out" / "prove").rglob("*.proof.json")).read_text())
    assert all(check["passed"] for check in proof["checks"]), proof["checks"]


def test_a_log_of_other_devices_stops_the_features(tmp_path: Path) -> None:
    root = logging_plant.make(tmp_path / "renamed", logging_plant.ERRORS)
    (root / "log.csv").write_text((root / "log.csv").read_text().replace("pump-", "P"))
    for name in ("ingest", "validate"):
        muster("step", name, root)
    done = muster("step", "features", root, check=2)
    assert "log.csv: no record is of a device with telemetry; the first is of 'P0'" in done.stderr
    assert "devices of the telemetry are called pump-0" in done.stderr
