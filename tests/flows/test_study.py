"""`muster model study`: bounded, taken up again where it was killed, and plain about what cannot be studied."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.running import change, muster
from tests.flows.test_training import DIES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trainings")]

ARGUMENTS = ("--seeds", "2", "--labels", "10,20")


def test_a_study_killed_in_training_ends_like_one_that_was_not_and_a_second_one_trains_nothing(
    fresh: Path, tmp_path: Path
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", DIES, "300", "model", "study", fresh, *ARGUMENTS], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    resumed = json.loads(muster("model", "study", fresh, *ARGUMENTS, "--json").stdout)
    assert len(resumed["data"]["outcomes"]) == 4
    assert not list((fresh / ".muster" / "studies" / "unfinished").iterdir())
    again = muster("model", "study", fresh, *ARGUMENTS, "--out", tmp_path / "study")
    assert "fine-tune done" not in again.stderr
    assert "at least 0.5" in again.stdout
    assert json.loads((tmp_path / "study" / "study.json").read_text()) == resumed["data"]
    assert "<svg" in (tmp_path / "study" / "study.html").read_text()
    for file in (fresh / ".muster" / "studies" / "outcomes").iterdir():
        file.unlink()
    assert json.loads(muster("model", "study", fresh, *ARGUMENTS, "--json").stdout) == resumed


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--labels", "20,many"), 2, "no list of numbers"),
        (("--labels", "0"), 2, "no list of numbers"),
        (("--task", "anomaly"), 3, "the workspace has fault"),
        (("--labels", "20,2"), 2, "cannot be drawn"),
        (("--labels", "20,1000000"), 2, "cannot be drawn"),
        (("--seeds", "99"), 2, "less than or equal to 16"),
    ],
)
def test_what_cannot_be_studied_is_said_before_anything_is_trained(
    fresh: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = muster("model", "study", fresh, *arguments, check=code)
    assert says in done.stderr
    assert "pre-train" not in done.stderr


def test_without_pretraining_there_is_nothing_to_study(fresh: Path) -> None:
    change(fresh / "muster.yaml", lambda value: value["model"].update(pretrain_steps=0))
    assert "model.pretrain_steps is 0" in muster("model", "study", fresh, check=2).stderr
