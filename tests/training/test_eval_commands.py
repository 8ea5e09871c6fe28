"""`muster model evaluate` and `muster model score`, as a user calls them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.values import Windows
from components.workspace import open_workspace
from tests.docs.workspaces import quick_pumps
from tests.flows.running import muster
from tests.quantization import plant


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that no training made, in the files of `out/train`."""
    folder = tmp_path_factory.mktemp("model")
    replace(plant.model(plant.windows()), threshold=3.0).save(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three devices, the last of them with a vibration that jumps; labels beside it."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(4)
    time = pd.Timestamp("2026-02-01", tz="UTC") + pd.to_timedelta(np.arange(1500), unit="min")
    frames = []
    for device in ("a", "b", "c"):
        waves = 4 * np.sin(np.arange(1500)[:, None] / 5 + np.arange(5)) + random.normal(0, 1, (1500, 5))
        waves[1000:1100, 3] += 25 if device == "c" else 0
        frames.append(pd.DataFrame(waves, columns=list(plant.CHANNELS)).assign(device_id=device, time=time))
    pd.concat(frames).to_parquet(folder / "data.parquet", index=False)
    (folder / "labels.csv").write_text(
        f"device_id,start,end,root_cause\nc,{time[1000].isoformat()},{time[1100].isoformat()},vibration\n"
    )
    return folder


@pytest.mark.slow
def test_evaluate_prints_one_document_and_writes_a_page(model: Path, data: Path, tmp_path: Path) -> None:
    done = muster(
        "model",
        "evaluate",
        model,
        "--data",
        data / "data.parquet",
        "--labels",
        data / "labels.csv",
        "--out",
        tmp_path / "o",
        "--json",
    )
    document = json.loads(done.stdout)
    assert (document["kind"], document["data"]["data"]["devices"], document["data"]["data"]["events"]) == ("evaluation", 3, 1)
    metrics = document["data"]["methods"][0]["metrics"]
    assert metrics["hit_rate_100"]["value"] == 1.0
    assert metrics["vus_pr"]["low"] is None  # one device has an anomaly: no interval
    assert json.loads((tmp_path / "o" / "evaluation.json").read_text()) == document["data"]
    assert "<svg" in (tmp_path / "o" / "evaluation.html").read_text()


@pytest.mark.slow
def test_score_writes_a_row_a_window_and_a_row_a_step(model: Path, data: Path, tmp_path: Path) -> None:
    done = muster("model", "score", model, "--data", data, "--out", tmp_path / "s.parquet", "--steps", "--json", check=2)
    assert "no column" in done.stderr  # the folder holds labels.csv too, which is no telemetry
    muster("model", "score", model, "--data", data / "data.parquet", "--out", tmp_path / "s.parquet", "--steps", "--json")
    table, steps = pd.read_parquet(tmp_path / "s.parquet"), pd.read_parquet(tmp_path / "s.steps.parquet")
    assert len(table) == 3 * ((1500 - 32) // 16 + 1)
    loudest = table.loc[table["score"].idxmax()]
    assert (loudest["device_id"], loudest["channel_1"]) == ("c", "vibration")
    assert {"residual_vibration", "score", "time", "device_id"} <= set(steps.columns)
    assert len(steps) == 3 * (len(table) // 3 * 16 + 16)


@pytest.mark.slow
def test_a_model_that_is_not_there_is_a_clear_error(data: Path, tmp_path: Path) -> None:
    known = ("--data", data / "data.parquet", "--labels", data / "labels.csv")
    assert "no trained model and no artefact" in muster("model", "evaluate", tmp_path, *known, check=3).stderr
    assert "no muster.yaml" in muster("model", "evaluate", "7", *known, "--workspace", tmp_path, check=3).stderr
    (tmp_path / "x.artefact").write_bytes(b"PK")
    assert "not an artefact" in muster("model", "evaluate", tmp_path / "x.artefact", *known, check=8).stderr


@pytest.mark.slow
def test_a_version_its_model_and_its_artefacts_are_judged_alike_on_the_workspaces_own_data(
    checkout: Path, tmp_path: Path
) -> None:
    """The evaluation sees the windows of the feature step, and artefacts rank them as the model they were made of."""
    from registry.models import register

    root = quick_pumps(checkout, tmp_path / "pumps")
    for step in ("ingest", "validate", "features", "label", "train", "quantize"):
        muster("step", step, root, "--quiet")
    workspace = open_workspace(root)
    files = sorted((workspace.out / "quantize").glob("*/*.artefact"))
    register(
        workspace,
        model_folder=workspace.out / "train",
        artefact_files=files,
        proofs=(),
        metrics={},
        lineage={"workspace_digest": "0"},
    )
    found = {}
    litert = workspace.out / "quantize" / "phone-litert" / "phone-litert.artefact"
    for name in ("1", "candidate", workspace.out / "train", litert):
        known = ("--data", root / "raw", "--labels", root / "truth" / "segments.csv", "--workspace", root)
        found[name] = json.loads(muster("model", "evaluate", name, *known, "--json").stdout)["data"]
    assert found["1"] == found["candidate"] == found[workspace.out / "train"]
    assert found["1"]["data"]["windows"] == len(Windows.load(workspace.out / "features"))
    assert [m["method"] for m in found["1"]["methods"]][-1] == "gradient_boosting"
    assert any("flatters the model" in note for note in found["1"]["notes"])
    unseen = json.loads(muster("model", "evaluate", "1", *known, "--held-out", "--json").stdout)["data"]
    assert unseen["data"]["windows"] == int(Windows.load(workspace.out / "features").test.sum())
    areas = [f["methods"][0]["metrics"]["vus_pr"]["value"] for f in (found["1"], found[litert])]
    assert areas[1] == pytest.approx(areas[0], abs=0.1)
    shown = json.loads(muster("model", "show", "1", root, "--json", check=None).stdout or "{}")
    assert shown["data"]["artefacts"]
    c99 = workspace.out / "quantize" / "mcu-cortex-m4" / "mcu-cortex-m4.artefact"
    assert (
        "does not run on this machine"
        in muster("model", "score", c99, "--data", root / "raw", "--out", tmp_path / "x", check=2).stderr
    )
