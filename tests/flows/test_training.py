"""`muster train`: telemetry to a trained model; what is up to date is not made again."""

from __future__ import annotations

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
