"""A training that is killed goes on from its last checkpoint and ends with the bytes of one that was not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from components.training import checkpoint
from components.training.checkpoint import KEPT, Checkpoints
from components.training.train import train
from components.values import Windows
from components.workspace.files import sha256_tree
from tests.training.quick import labels_of, quick_windows, quick_workspace, statistics_of

CHECKOUT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def _run(folder: Path, step: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.training.killed_training", str(folder), str(step)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the model of a training that was never killed."""
    folder = tmp_path_factory.mktemp("calm")
    done = _run(folder, 0)
    assert done.returncode == 0, done.stderr
    return sha256_tree(folder / "model")


@pytest.mark.slow
def test_killed_in_every_phase_and_taken_up_again_it_ends_with_the_same_bytes(tmp_path: Path, calm: str) -> None:
    """Killed between two checkpoints of pre-training, then twice of fine-tuning, then of two recipes of a smaller network."""
    for steps in (40, 63, 27, 37, 33):
        assert _run(tmp_path, steps).returncode == -signal.SIGKILL
    done = _run(tmp_path, 0)
    assert done.returncode == 0, done.stderr
    assert "pre-train goes on after step 60" in done.stdout
    assert "fine-tune goes on after step 60" in done.stdout
    assert "prune-small goes on after step 30" in done.stdout
    assert "distil-small goes on after step 25" in done.stdout
    assert sha256_tree(tmp_path / "model") == calm


@pytest.mark.slow
def test_a_damaged_checkpoint_costs_a_warning_and_its_phase(tmp_path: Path, calm: str) -> None:
    assert _run(tmp_path, 90).returncode == -signal.SIGKILL
    for file in (tmp_path / "checkpoints" / "key").iterdir():
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(bytes(data))
    done = _run(tmp_path, 0)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("is damaged") == 2
    assert sha256_tree(tmp_path / "model") == calm


def _state(step: int = 3) -> dict[str, object]:
    return {"device": "cpu", "step": step, "weights": torch.arange(4.0)}


@pytest.mark.parametrize("damage", [b"", b"short", bytes(64)], ids=["empty", "short", "zeros"])
def test_whatever_stands_in_the_file_is_no_error(tmp_path: Path, damage: bytes) -> None:
    said: list[str] = []
    kept = Checkpoints(tmp_path / "key", said.append)
    kept.save("pre-train", _state())
    (tmp_path / "key" / "pre-train.checkpoint").write_bytes(damage)
    assert kept.load("pre-train", CPU) is None
    assert "damaged" in said[0]


def test_the_last_state_of_each_phase_is_kept_and_no_other(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "key")
    for step in (1, 2):
        for phase in ("pre-train", "fine-tune"):
            kept.save(phase, _state(step))
    assert sorted(file.name for file in (tmp_path / "key").iterdir()) == ["fine-tune.checkpoint", "pre-train.checkpoint"]
    again = kept.load("pre-train", CPU)
    assert again is not None
    assert again["step"] == 2
    assert torch.equal(again["weights"], torch.arange(4.0))


def test_a_state_of_another_device_or_pytorch_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Checkpoints(tmp_path / "key")
    kept.save("pre-train", _state() | {"device": "cuda"})
    assert kept.load("pre-train", CPU) is None
    kept.save("pre-train", _state())
    monkeypatch.setattr(torch, "__version__", "1.0")
    assert kept.load("pre-train", CPU) is None


def test_trainings_that_nobody_took_up_again_are_bounded(tmp_path: Path) -> None:
    for number in range(KEPT + 2):
        Checkpoints(tmp_path / f"key{number}").save("pre-train", _state())
    assert len(list(tmp_path.iterdir())) == KEPT


def test_a_short_training_writes_once_a_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(checkpoint, "write_bytes", lambda path, data: written.append(path.name))
    windows: Windows = quick_windows()
    workspace = quick_workspace(tmp_path, pretrain_steps=60, finetune_steps=60)
    train(workspace, windows, [labels_of(windows)], statistics_of(windows), checkpoints=Checkpoints(tmp_path / "key"))
    assert written == ["pre-train.checkpoint", "fine-tune.checkpoint"]
