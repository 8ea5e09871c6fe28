"""`muster train`: telemetry to a trained model and its metrics, without the rest of the main job."""

from __future__ import annotations

import json
from dataclasses import dataclass

from components.workspace import Workspace
from flows import progress
from flows.notes import describe
from flows.runs import one_at_a_time
from flows.steps import STEPS, StepResult, run_step

LAST = "report"


@dataclass(frozen=True)
class Trained:
    """``metrics``: `<task>/<method>/<metric>` on what is held out, empty without a truth. ``folder``: where the model is,
    ``report``: the page about it.
    """

    steps: tuple[StepResult, ...]
    metrics: dict[str, float]
    folder: str
    report: str


def train(workspace: Workspace) -> Trained:
    """Make the steps up to training and its report where they are not up to date; each is put out in `out/<step>`.

    Raises:
        Conflict: another run holds the workspace.
        MusterError: whatever the step that failed says; what was finished before it is kept.
    """
    names = [step.name for step in STEPS]
    with one_at_a_time(workspace):
        results = [result for name in names[: names.index(LAST) + 1] for result in _told(workspace, name)]
    folder = workspace.out / "train"
    metrics = json.loads((folder / "metrics.json").read_text())
    return Trained(tuple(results), metrics, str(folder), str(workspace.out / LAST / "report.html"))


def _told(workspace: Workspace, name: str) -> list[StepResult]:
    with progress.timed(name) as done:
        results = run_step(workspace, name)
        kept = "kept from an earlier run: " if all(r.reused for r in results) else ""
        done.note = kept + describe(workspace, name, None)
    return results
