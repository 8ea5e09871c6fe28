"""`muster model seeds`: seeds that are finished are kept, what was killed goes on, and the workspace's model stays as it is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from components.workspace.store import digest_of
from tests.flows.running import change, muster
from tests.flows.test_training import DIES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trainings")]


@pytest.fixture
def sparse(fresh: Path) -> Path:
    """A small workspace with half of its windows."""
    change(fresh / "muster.yaml", lambda value: value["windows"].update(stride=32))
    return fresh


def test_seeds_killed_in_training_end_like_those_that_were_not_and_a_second_call_trains_nothing(
    sparse: Path, tmp_path: Path
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", DIES, "260", "model", "seeds", sparse, "--seeds", "2"], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    first = muster("model", "seeds", sparse, "--seeds", "2", "--json")
    resumed = json.loads(first.stdout)
    assert resumed["kind"] == "seeds"
    assert first.stderr.count("fine-tune done") == 1, "the first seed was finished"
    assert "fine-tune goes on after step" in first.stderr
    assert not list((sparse / ".muster" / "seeds" / "unfinished").iterdir())
    assert not (sparse / "out" / "train").exists()
    again = muster("model", "seeds", sparse, "--seeds", "2", "--out", tmp_path / "seeds")
    assert "fine-tune" not in again.stderr
    assert "Seeds 7, 8 on the same" in again.stdout
    assert json.loads((tmp_path / "seeds" / "seeds.json").read_text()) == resumed["data"]
    assert "How each seed learned" in (tmp_path / "seeds" / "seeds.html").read_text()
    model = resumed["data"]["methods"][0]["metrics"]
    assert {"vus_pr", "event_f1", "fault/macro_f1"} <= set(model)
    assert len(set(model["vus_pr"]["of_seeds"])) == 2
    newest = max((sparse / ".muster" / "seeds" / "outcomes").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    newest.unlink()
    assert json.loads(muster("model", "seeds", sparse, "--seeds", "2", "--json").stdout) == resumed


def test_without_a_truth_nothing_is_trained(fresh: Path) -> None:
    change(fresh / "muster.yaml", lambda value: value["evaluation"].pop("truth"))
    done = muster("model", "seeds", fresh, check=2)
    assert "declare evaluation.truth" in done.stderr
    assert "ingest" not in done.stderr


def test_more_seeds_than_there_may_be_are_a_usage_error(fresh: Path) -> None:
    assert "16" in muster("model", "seeds", fresh, "--seeds", "17", check=2).stderr


def test_the_first_seed_of_a_workspace_says_what_its_report_says(ran: Path) -> None:
    trained = digest_of(ran / "out" / "train")
    found = json.loads(muster("model", "seeds", ran, "--seeds", "1", "--json").stdout)["data"]
    report = json.loads((ran / "out" / "report" / "report.json").read_text())
    for method, reported in zip(found["methods"], report["evaluation"]["methods"], strict=True):
        told = {name: (m["value"], m["low"], m["high"]) for name, m in reported["metrics"].items()}
        assert {name: (m["mean"], m["low"], m["high"]) for name, m in method["metrics"].items()} == told
    assert digest_of(ran / "out" / "train") == trained
