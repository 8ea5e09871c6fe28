"""The main job on real measurements, and on data that nobody described to it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.ingestion.scaffold import copy_profiles
from tests.flows.running import QUICK, change, muster

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("real-data")]


def _data(checkout: Path, name: str) -> Path:
    folder = Path(os.environ.get("MUSTER_DATASETS", checkout.parent / "shared" / "data")) / name
    if not folder.is_dir():
        pytest.skip(f"data set {name} is not here: set MUSTER_DATASETS")
    return folder


def _quick(root: Path) -> None:
    """A model that trains in seconds, under gates that leave it room; what is run is the same."""
    change(root / "muster.yaml", lambda s: s.__setitem__("model", QUICK))
    for file in (root / "profiles").glob("*.yaml"):
        change(
            file,
            lambda p: p.setdefault("numeric", {}).update(min_label_agreement=0.5, max_metric_drop=0.3, min_rank_correlation=0.5),
        )


def test_twelve_real_servers_end_in_manifests(tmp_path: Path, checkout: Path) -> None:
    root = tmp_path / "asd"
    muster("init", "--template", "asd", "--data", _data(checkout, "asd"), root)
    _quick(root)
    data = json.loads(muster("run", root, "--json").stdout)["data"]
    assert data["devices"] == 12
    assert data["rows_accepted"] == 102_331 + 51_840
    assert data["metrics"]["anomaly/electra/vus_pr"] > 2 * data["metrics"]["anomaly/chance/vus_pr"]
    assert all(row["passed"] for row in data["artefacts"])
    assert {m["state"] for m in data["manifests"]} == {"waiting_for_approval"}


def test_a_real_test_rig_is_judged_on_states_it_never_saw_in_four_tasks(tmp_path: Path, checkout: Path) -> None:
    root = tmp_path / "rig"
    muster("init", "--template", "hydraulic", "--data", _data(checkout, "hydraulic"), root)
    _quick(root)
    data = json.loads(muster("run", root, "--json").stdout)["data"]
    assert {key for key in data["metrics"] if key.endswith("electra/macro_f1")} == {
        f"{task}/electra/macro_f1" for task in ("cooler", "valve", "pump", "accumulator")
    }
    assert data["metrics"]["cooler/electra/macro_f1"] > 0.6
    index = pd.read_parquet(root / "out" / "features" / "index.parquet")
    groups = pd.read_csv(root / "groups.csv", parse_dates=["start"])
    state = groups.set_index("start")["group"].reindex(index["start"]).to_numpy()
    assert not set(state[index["split"] == "train"]) & set(state[index["split"] == "test"])


def test_a_folder_of_csv_files_becomes_a_workspace_that_runs_as_it_is(tmp_path: Path) -> None:
    raw = tmp_path / "exports"
    raw.mkdir()
    random = np.random.default_rng(5)
    minutes = np.arange(2500)
    for machine in range(6):
        load = np.sin(minutes / 60 + machine) + 0.1 * random.normal(size=len(minutes))
        frame = pd.DataFrame(
            {
                "machine": f"press-{machine}",
                "timestamp": (pd.Timestamp("2026-02-01T00:00Z") + pd.to_timedelta(minutes, unit="min")).strftime(
                    "%Y-%m-%dT%H:%M:%SZ"
                ),
                "temperature": 60 + 5 * load + random.normal(size=len(minutes)),
                "force": 100 + 20 * load + random.normal(size=len(minutes)),
            }
        )
        frame.to_csv(raw / f"press-{machine}.csv", index=False)
    root = tmp_path / "presses"
    muster("init", "--from", raw, root)
    assert "#" in (root / "muster.yaml").read_text()
    data = json.loads(muster("run", root, "--json").stdout)["data"]
    assert data["devices"] == 6
    assert data["labels"] == {}
    assert len(data["artefacts"]) == 4
    assert all(row["passed"] for row in data["artefacts"])
    assert data["manifests"]


def test_the_shipped_profiles_are_those_of_the_default_workspace(tmp_path: Path, checkout: Path) -> None:
    copy_profiles(tmp_path)
    shipped = {file.name: file.read_text() for file in (tmp_path / "profiles").glob("*.yaml")}
    default = checkout / "examples" / "pumps" / "profiles"
    assert shipped == {file.name: file.read_text() for file in default.glob("*.yaml")}
