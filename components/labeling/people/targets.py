"""Declared numbers: what somebody measured, or knows from how it ended, such as remaining life."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from components.features.segments import at_the_end, read_numbers
from components.values import Targets
from components.workspace.errors import InputError
from components.workspace.files import sha256_bytes

if TYPE_CHECKING:
    from components.values import Windows
    from components.workspace import Workspace
    from components.workspace.settings import Task


def gold_targets(workspace: Workspace, windows: Windows, task: Task) -> Targets:
    """The value of each training window: that of the segment of `task.gold` which holds its last step.

    Values outside the task's range are clipped to it and counted. Held-out windows have none: nobody learns from them.

    Raises:
        InputError: a value is no number, or no training window has one.
    """
    assert task.gold is not None and task.range is not None  # noqa: S101 - the settings see to it
    file = workspace.path(task.gold)
    segments = read_numbers(file, task.name)
    found = at_the_end(windows.index, segments, workspace.settings.telemetry.interval_s)
    covered = (found >= 0) & windows.train
    if not covered.any():
        raise InputError(
            f"{file}: no value for the last step of a training window of task '{task.name}'", hint="check devices and times"
        )
    declared = np.append(segments["value"].to_numpy(np.float64), np.nan)[np.where(covered, found, -1)]
    values = np.clip(declared, *task.range).astype(np.float32)
    facts = {
        "version": sha256_bytes(values.tobytes()),
        "source": "gold",
        "clipped": int((covered & (values != declared.astype(np.float32))).sum()),
    }
    return Targets(task.name, task.unit, task.range, values, facts)
