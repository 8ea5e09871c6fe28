"""`python -m tests.training.killed_training FOLDER STEP`: train on a small plant with a checkpoint at every chance in
FOLDER/checkpoints, and die by SIGKILL when STEP steps of all phases together are done; STEP 0 lives on and writes FOLDER/model.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from components.training import checkpoint, loop
from components.training.checkpoint import Checkpoints
from components.training.train import train
from components.workspace.model_settings import Shape
from tests.training.quick import labels_of, quick_windows, quick_workspace, statistics_of


def die_after(steps: int) -> None:
    """Kill this process once that many training steps are done."""
    advance, done = loop._Way.advance, 0

    def counted(way: loop._Way, losses: loop.Draw) -> loop.Losses:
        nonlocal done
        found = advance(way, losses)
        done += 1
        if done == steps:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    loop._Way.advance = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    folder, step = Path(sys.argv[1]), int(sys.argv[2])
    checkpoint.EVERY_S = 0.0
    if step:
        die_after(step)
    windows = quick_windows()
    small = Shape(name="small", profiles=("mcu",), width=4, steps=30)
    workspace = quick_workspace(folder, pretrain_steps=60, finetune_steps=60, shapes=(small,))
    kept = Checkpoints(folder / "checkpoints" / "key", print)
    model = train(workspace, windows, [labels_of(windows)], statistics_of(windows), checkpoints=kept)
    (folder / "model").mkdir()
    model.save(folder / "model")
