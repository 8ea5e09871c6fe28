"""`muster train`: telemetry to a trained model; what is up to date is not made again."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from components.workspace.store import digest_of
from tests.flows.running import change, muster

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trainings")]

DIES = """
import os, signal, sys
from components.training import checkpoint, loop
checkpoint.EVERY_S = 0.0
advance, done, wanted = loop._Way.advance, 0, int(sys.argv.pop(1))
def counted(way, losses):
    global done
    found, done = advance(way, losses), done + 1
    if done == wanted:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
loop._Way.advance = counted
from muster.app import main
main()
"""


def test_the_steps_up_to_training_are_made_once_and_the_metrics_printed(fresh: Path) -> None:
    done = muster("train", fresh)
    assert "electra" in done.stdout
    assert "gradient_boosting" in done.stdout
    assert "fine-tune done" in done.stderr
    again = json.loads(muster("train", fresh, "--json").stdout)
    assert again["kind"] == "training"
    assert [step["step"] for step in again["data"]["steps"]] == ["ingest", "validate", "features", "label", "train", "report"]
    assert all(step["reused"] for step in again["data"]["steps"])
    assert 0 < again["data"]["metrics"]["anomaly/electra/vus_pr"] <= 1
    assert Path(again["data"]["report"]).read_text().startswith("<!doctype html>")
    assert not (fresh / "out" / "quantize").exists()


def test_a_training_killed_twice_goes_on_and_puts_out_the_same_bytes(fresh: Path, _ran: Path) -> None:
    """kill -9 in pre-training and in fine-tuning; the same command again ends like a run that was never killed."""
    for step in ("ingest", "validate", "features", "label"):
        muster("step", step, fresh)
    for steps in (40, 70):
        killed = subprocess.run(
            [sys.executable, "-c", DIES, str(steps), "step", "train", fresh], capture_output=True, check=False
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    resumed = muster("step", "train", fresh)
    assert "pre-train goes on after step 60" in resumed.stderr
    assert "fine-tune goes on after step" in resumed.stderr
    assert digest_of(fresh / "out" / "train") == digest_of(_ran / "out" / "train")
    assert list((fresh / ".muster" / "checkpoints").iterdir()) == []


def test_a_registered_version_keeps_its_report_and_its_curves(ran: Path) -> None:
    page = Path(muster("model", "report", "candidate", "--workspace", ran).stdout.strip())
    assert page.read_text() == (ran / "out" / "report" / "report.html").read_text()
    assert (
        Path(json.loads(muster("model", "report", ran, "--json").stdout)["data"]["file"])
        == ran / "out" / "report" / "report.html"
    )
    from components.workspace import open_workspace
    from registry import models

    workspace = open_workspace(ran)
    version = models.find_version(workspace)
    with models._client(workspace) as client:
        history = client.get_metric_history(version.run_id, "curve/pre-train/validation/detection")
    assert [point.step for point in history] == [25, 50, 60]
    found = models.describe(workspace, version)
    assert found.metrics["report/model/vus_pr/low"] <= found.metrics["report/model/vus_pr"]
    assert not any(name.startswith(("curve/", "report/")) for name in models.trained_metrics(found, []))


def test_a_report_that_is_not_there_says_what_makes_it(fresh: Path) -> None:
    assert "muster train" in muster("model", "report", fresh, check=3).stderr


def test_training_on_cuda_where_there_is_none_says_what_to_set(fresh: Path) -> None:
    change(fresh / "muster.yaml", lambda value: value["model"].update(device="cuda"))
    done = muster("train", fresh, check=2, env={"CUDA_VISIBLE_DEVICES": ""})
    assert "PyTorch sees no CUDA device" in done.stderr
    assert "model.device: auto" in done.stderr


def test_two_trainings_of_one_workspace_do_not_mix(fresh: Path) -> None:
    from components.workspace import open_workspace
    from flows.runs import one_at_a_time

    with one_at_a_time(open_workspace(fresh)):
        assert "another run works on" in muster("train", fresh, check=5).stderr


def test_a_folder_without_a_workspace_is_not_found(tmp_path: Path) -> None:
    assert "muster init" in muster("train", tmp_path, check=3).stderr
    assert os.listdir(tmp_path) == []


def test_a_profile_gets_the_network_that_was_made_for_it_proven_there(fresh: Path, _ran: Path) -> None:
    """A shape in muster.yaml: the training says how it was made, and its artefact is smaller and proven like any other."""
    shape = {"name": "node", "profiles": ["mcu-cortex-m4"], "width": 8, "blocks": 1, "steps": 40}
    change(fresh / "muster.yaml", lambda settings: settings["model"].update(shapes=[shape]))
    told = muster("train", fresh)
    assert "Networks" in told.stdout
    assert "distil-qat-node done" in told.stderr
    made = json.loads(muster("train", fresh, "--json").stdout)["data"]
    _, node = made["networks"]
    assert node["profiles"] == ["mcu-cortex-m4"]
    assert node["recipe"] == min(node["losses"], key=node["losses"].get)
    page = Path(made["report"]).read_text()
    assert "Networks for hardware profiles" in page
    assert "int8-node" in page, "beside every other method, with its intervals"
    assert {f"fault/{method}/macro_f1" for method in ("electra", "int8", "int8-node")} <= set(made["metrics"])
    for step in ("quantize", "prove"):
        muster("step", step, fresh, "--profile", "mcu-cortex-m4")

    def flash(root: Path) -> float:
        proof = json.loads((root / "out" / "prove" / "mcu-cortex-m4" / "mcu-cortex-m4.proof.json").read_text())
        checks = {check["name"]: check for check in proof["checks"]}
        assert checks["self_test_mismatches"]["value"] == 0
        assert checks["fault/label_agreement"]["passed"], "it answers like its own network in floats"
        return checks["flash"]["value"]

    assert flash(fresh) < flash(_ran)


def test_shapes_that_compete_are_compared_and_proven_through_the_steps(fresh: Path) -> None:
    """Two networks for one profile: both are in the record, and what was taken is what is proven."""
    name = "mcu-cortex-m4"
    shapes = [
        {"name": "whole", "profiles": [name], "recipe": "post_training"},
        {"name": "node", "profiles": [name], "width": 8, "blocks": 1, "steps": 40},
    ]
    change(fresh / "muster.yaml", lambda settings: settings["model"].update(shapes=shapes))
    muster("train", fresh)
    for step in ("quantize", "prove"):
        muster("step", step, fresh, "--profile", name)
    (told,) = json.loads(muster("artefact", "recipes", fresh, "--json").stdout)["data"]
    compiled = {tried["name"].partition(":")[0]: tried for tried in told["tried"] if tried["multiplications"]}
    assert compiled.keys() == {"whole", "node"}
    assert compiled["node"]["size"] < compiled["whole"]["size"]
    assert compiled["node"]["signal_db"] < compiled["whole"]["signal_db"], "both are held against the trained network"
    shown = json.loads(muster("artefact", "show", fresh / "out" / "quantize" / name / f"{name}.artefact", "--json").stdout)[
        "data"
    ]
    assert shown["recipe"] == told["chosen"]
    assert told["chosen"].partition(":")[0] in compiled
    page = Path(muster("artefact", "report", fresh).stdout.strip()).read_text()
    assert "whole: int8" in page
    assert "node: int8" in page
    file = fresh / "profiles" / f"{name}.yaml"
    most = compiled["whole"]["size"] / 1024
    change(file, lambda profile: profile["memory"].update(model_flash_kib=most - 1))
    change(file, lambda profile: profile["numeric"].update(min_label_agreement=0.0, min_rank_correlation=-1.0))
    muster("step", "quantize", fresh, "--profile", name)
    (again,) = json.loads(muster("artefact", "recipes", fresh, "--json").stdout)["data"]
    lost = {tried["name"].partition(":")[0]: tried for tried in again["tried"] if "model_flash_kib" in tried["lost"]}
    assert lost.keys() == {"whole"}
    assert lost["whole"]["signal_db"] is None, "it was not compared"
    assert again["chosen"].startswith("node: ")


def test_a_gateway_with_openvino_is_proven_in_openvino(ran: Path) -> None:
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("no OpenVINO (pip install 'muster-mlops[openvino]')")
    name = "gateway-x86-64"
    change(ran / "profiles" / f"{name}.yaml", lambda p: p["runtime"].update(name="openvino", minimal="2026.1"))
    change(ran / "profiles" / f"{name}.yaml", lambda p: p["memory"].update(model_ram_kib=400_000))
    for step in ("quantize", "prove"):
        muster("step", step, ran, "--profile", name)
    proof = json.loads((ran / "out" / "prove" / name / f"{name}.proof.json").read_text())
    assert proof["machine"].startswith("openvino 20")
    assert proof["passed"]
    assert "native" in muster("profile", "check", ran / "profiles" / f"{name}.yaml").stdout
