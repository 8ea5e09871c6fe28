"""What holds for all held-out windows has to hold for each site, firmware version, hardware profile and class.

A mean over a fleet hides a site whose few devices lose everything by quantisation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.checks import at_least, at_most, drops
from components.training.evaluation import evaluate
from components.values import Check, Windows
from components.workspace.profiles import Profile

if TYPE_CHECKING:
    from components.workspace import Workspace


@dataclass(frozen=True)
class Answers:
    """What one side says of the rows: ``score`` (rows,), higher is more anomalous, None without an anomaly task; ``classes``
    and ``values``: task -> (rows,).
    """

    score: NDArray[Any] | None
    classes: dict[str, NDArray[np.int8]]
    values: dict[str, NDArray[np.float64]]

    def part(self, mask: NDArray[np.bool_]) -> Answers:
        return Answers(
            None if self.score is None else self.score[mask],
            {task: found[mask] for task, found in self.classes.items()},
            {task: found[mask] for task, found in self.values.items()},
        )


def slice_checks(
    workspace: Workspace, profile: Profile, windows: Windows, rows: NDArray[np.int64], trained: Answers, device: Answers
) -> list[Check]:
    """Label agreement and drop of each metric in every slice of ``rows`` that the profile names.

    A slice with fewer than `accuracy.min_rows` windows is named with its size and not judged. Class slices are the windows
    that the trained model puts into a class, one task at a time; they are judged by agreement.
    """
    wanted, numeric = profile.accuracy, profile.numeric
    agreement = numeric.min_label_agreement if wanted.min_label_agreement is None else wanted.min_label_agreement
    drop = numeric.max_metric_drop if wanted.max_metric_drop is None else wanted.max_metric_drop
    checks: list[Check] = []
    for part in _slices(workspace, profile, windows, rows, trained):
        mask, suffix, count = part.mask, f" [{part.name}]", int(part.mask.sum())
        if count < wanted.min_rows:
            checks.append(at_most(f"windows{suffix}", count, None, f"windows, judged from {wanted.min_rows} on"))
            continue
        before, got = trained.part(mask), device.part(mask)
        checks += [
            at_least(f"{task}/label_agreement{suffix}", float((got.classes[task] == before.classes[task]).mean()), agreement)
            for task in part.tasks
        ]
        if part.has_metrics:
            pair = [evaluate(workspace, windows, rows[mask], one.score, one.classes, one.values) for one in (before, got)]
            checks += drops(pair[0], pair[1], drop, numeric.max_error_rise, suffix)
    return checks


@dataclass(frozen=True)
class _Slice:
    """``mask``: (rows,) which are in it. ``tasks``: those whose classes are compared."""

    name: str
    mask: NDArray[np.bool_]
    tasks: tuple[str, ...]
    has_metrics: bool


def _slices(
    workspace: Workspace, profile: Profile, windows: Windows, rows: NDArray[np.int64], trained: Answers
) -> Iterator[_Slice]:
    names = {task.name: task.classes for task in workspace.settings.tasks}
    for by in profile.accuracy.slices:
        if by == "class":
            for task, found in sorted(trained.classes.items()):
                for position, name in enumerate(names[task]):
                    yield _Slice(f"{task}={name}", found == position, (task,), has_metrics=False)
            continue
        column = windows.index[by].to_numpy()[rows].astype(str)
        for value in np.unique(column):
            yield _Slice(f"{by}={value}", column == value, tuple(sorted(trained.classes)), has_metrics=True)
