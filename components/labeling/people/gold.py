"""Declared labels: segments whose class somebody vouches for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from components.features.segments import covering, read_segments
from components.values import LabelSet
from components.values.labels import ABSTAIN
from components.workspace.errors import InputError
from components.workspace.files import sha256_json

if TYPE_CHECKING:
    from components.values import Windows
    from components.workspace import Workspace
    from components.workspace.settings import Task


def gold_labels(workspace: Workspace, windows: Windows, task: Task) -> LabelSet:
    """Labels of the training windows that a segment of `task.gold` (device_id, start, end, value) holds whole.

    A file for several tasks has a column ``task`` too. Held-out windows are never covered: nobody learns from them.

    Raises:
        InputError: a value is no class of the task, or no training window is covered.
    """
    file = workspace.path(str(task.gold))
    several = file.is_file() and "task" in file.open(encoding="utf-8").readline().strip().split(",")
    segments = read_segments(file, ("value", "task") if several else ("value",))
    if several:
        segments = segments[segments["task"] == task.name].reset_index(drop=True)
    if unknown := sorted(set(segments["value"]) - set(task.classes)):
        raise InputError(
            f"{file}: '{unknown[0]}' is no class of task '{task.name}'", hint=f"its classes are {', '.join(task.classes)}"
        )
    found = covering(windows.index, segments)
    covered = (found >= 0) & windows.train
    if not covered.any():
        raise InputError(f"{file}: no segment holds a training window of task '{task.name}'", hint="check devices and times")
    values = np.asarray([task.classes.index(v) for v in segments["value"]], np.int8)
    gold = np.where(covered, values[np.maximum(found, 0)], ABSTAIN).astype(np.int8)
    probabilities = np.full((len(windows), len(task.classes)), 1 / len(task.classes), np.float32)
    probabilities[covered] = np.eye(len(task.classes), dtype=np.float32)[gold[covered]]
    return LabelSet(
        task=task.name,
        classes=task.classes,
        functions=(),
        votes=np.empty((len(windows), 0), np.int8),
        probabilities=probabilities,
        covered=covered,
        gold=gold,
        sampled=covered,
        decision_weights=(1.0,) * len(task.classes),
        source="gold",
        facts={"version": sha256_json([task.classes, gold.tolist()]), "chosen": "gold"},
    )
