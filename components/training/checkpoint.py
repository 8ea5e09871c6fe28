"""Where a training left off, so that one that is killed goes on from there and ends with the same bytes.

A training has a folder of its own with one file a phase, replaced whole by the next: its digest, then what `torch.save`
makes of the state. It is read back as plain tensors and numbers, so nothing in it can run. A file that is damaged, or that
another device or PyTorch wrote, is worth a warning and no more: its phase begins again.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from components.workspace.files import write_bytes

EVERY_S = 20.0
"""Seconds between two checkpoints of a phase; a phase also leaves one at its end."""
KEPT = 3
"""Trainings that were broken off and whose checkpoints are kept beside each other."""
_DIGEST = hashlib.sha256().digest_size


class Checkpoints:
    """Of one training, in ``folder``; None keeps nothing. ``say`` hears what was resumed and what was unreadable."""

    def __init__(self, folder: Path | None = None, say: Callable[[str], None] = lambda _: None) -> None:
        self._folder, self._say = folder, say
        self._last = time.monotonic()
        if folder is not None:
            _drop_old(folder)

    @property
    def due(self) -> bool:
        """Whether `EVERY_S` have gone by since the last one."""
        return self._folder is not None and time.monotonic() - self._last >= EVERY_S

    def save(self, phase: str, state: dict[str, Any]) -> None:
        """Keep ``state`` (tensors, numbers, text, and lists and dicts of them) in place of what the phase kept before."""
        if self._folder is None:
            return
        buffer = io.BytesIO()
        torch.save({"made_by": str(torch.__version__), "state": state}, buffer)
        data = buffer.getvalue()
        write_bytes(self._file(phase), hashlib.sha256(data).digest() + data)
        self._last = time.monotonic()

    def load(self, phase: str, device: torch.device) -> dict[str, Any] | None:
        """What `save` kept last, with its tensors on ``device``; None where there is nothing that can be gone on with."""
        if self._folder is None or not self._file(phase).is_file():
            return None
        data = self._file(phase).read_bytes()
        digest, data = data[:_DIGEST], data[_DIGEST:]
        if hashlib.sha256(data).digest() != digest:
            self._say(f"the checkpoint {self._file(phase)} is damaged: {phase} begins again")
            return None
        kept = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if kept["made_by"] != str(torch.__version__) or kept["state"]["device"] != device.type:
            self._say(f"the checkpoint of {phase} is of another device or PyTorch: {phase} begins again")
            return None
        self._say(f"{phase} goes on after step {kept['state']['step']}")
        state: dict[str, Any] = kept["state"]
        return state

    def _file(self, phase: str) -> Path:
        assert self._folder is not None  # noqa: S101 - asked for by those who know that there is one
        return self._folder / f"{phase}.checkpoint"


def _drop_old(folder: Path) -> None:
    """Bound what trainings that nobody took up again leave beside ``folder``."""
    if not folder.parent.is_dir():
        return
    others = [path for path in folder.parent.iterdir() if path.is_dir() and path != folder]
    for old in sorted(others, key=lambda path: path.stat().st_mtime_ns, reverse=True)[KEPT - 1 :]:
        shutil.rmtree(old, ignore_errors=True)
