"""The main job with boosted trees in place of the network: the same doors, the same proofs, the same manifests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.flows.running import change, muster

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("boosted-job")]

BOOSTED = {"kind": "gradient_boosting"}


def _choose_trees(root: Path) -> None:
    change(root / "muster.yaml", lambda settings: settings.__setitem__("model", BOOSTED))


def _exact(root: Path) -> None:
    """Phones get ONNX Runtime, and no artefact may differ from the trained model in a single window."""
    change(root / "profiles" / "phone-litert.yaml", lambda p: p["runtime"].update(name="onnxruntime", minimal="1.20"))
    for file in (root / "profiles").glob("*.yaml"):
        change(file, lambda p: p["numeric"].update(min_label_agreement=1.0, max_metric_drop=0.01, min_rank_correlation=0.999))


def test_trees_are_trained_proven_exactly_registered_released_and_judged(fresh: Path, tmp_path: Path) -> None:
    _choose_trees(fresh)
    _exact(fresh)
    data = json.loads(muster("run", fresh, "--demo", "--json").stdout)["data"]
    assert data["kind"] == "gradient_boosting"
    assert data["metrics"]["anomaly/gradient_boosting/vus_pr"] > 1.5 * data["metrics"]["anomaly/chance/vus_pr"]
    assert data["metrics"]["fault/gradient_boosting/macro_f1"] > data["metrics"]["fault/float_boosting/macro_f1"] - 0.1
    assert {row["runtime"] for row in data["artefacts"]} == {"onnxruntime", "c99"}
    assert all(row["passed"] for row in data["artefacts"])
    assert {m["state"] for m in data["manifests"]} == {"running"}
    board = json.loads((fresh / "out" / "prove" / "mcu-cortex-m4" / "mcu-cortex-m4.proof.json").read_text())
    costs = {check["name"]: check["value"] for check in board["checks"]}
    assert board["level"] == "emulated"
    assert costs["instructions"] < 100_000
    assert costs["flash"] < 40 * 1024
    shown = json.loads(muster("model", "show", "candidate", fresh, "--json").stdout)["data"]
    assert len(shown["proofs"]) == 4
    inventory = [line.split(",") for line in (fresh / "inventory.csv").read_text().splitlines()]
    kinds = {row[inventory[0].index("hardware_profile")]: row[inventory[0].index("device_id")] for row in inventory[1:]}
    for device in kinds.values():
        assert json.loads(muster("device", "check", fresh, "--device", device, "--json").stdout)["data"]
    _judged(fresh, tmp_path)
    assert json.loads(muster("run", fresh, "--json").stdout)["data"]["version"] == 1


def _judged(root: Path, folder: Path) -> None:
    """The trained model and an artefact of it say the same of the telemetry that came in."""
    artefact = root / "out" / "quantize" / "gateway-x86-64" / "gateway-x86-64.artefact"
    found = []
    for number, model in enumerate((root / "out" / "train", artefact)):
        words = ("model", "evaluate", model, "--data", root / "out" / "validate" / "accepted.parquet")
        words += ("--labels", root / "truth" / "segments.csv", "--workspace", root, "--held-out", "--json")
        evaluation = json.loads(muster(*words).stdout)["data"]
        assert "float_boosting" in {method["method"] for method in evaluation["methods"]}, "the model itself is boosted trees"
        ours = next(method for method in evaluation["methods"] if method["method"] == "model")
        found.append(ours["metrics"]["fault/macro_f1"]["value"])
        scores = folder / f"{number}.parquet"
        assert muster("model", "score", model, "--data", words[4], "--workspace", root, "--out", scores)
    assert found[0] == found[1]


def test_a_profile_with_litert_is_refused_before_anything_runs(fresh: Path) -> None:
    _choose_trees(fresh)
    done = muster("run", fresh, check=2)
    assert "phone-litert" in done.stderr
    assert "onnxruntime or c99" in done.stderr
    assert not (fresh / "out").exists()


def test_a_workspace_without_labels_is_refused_before_anything_runs(fresh: Path) -> None:
    _choose_trees(fresh)
    change(fresh / "muster.yaml", lambda settings: settings.__setitem__("tasks", [{"name": "anomaly", "kind": "anomaly"}]))
    done = muster("run", fresh, check=2)
    assert "learns from labels" in done.stderr
    assert "kind: electra" in done.stderr
    assert yaml.safe_load((fresh / "muster.yaml").read_text())["model"] == BOOSTED
    assert not (fresh / "out").exists()
