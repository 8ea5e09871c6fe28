"""`muster train`: telemetry to a trained model and its metrics, without the rest of the main job."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from components.values.networks import MadeNetwork, networks_in
from components.workspace import Workspace, open_workspace
from components.workspace.errors import NotFound
from components.workspace.files import write_bytes
from flows import progress
from flows.notes import describe
from flows.runs import one_at_a_time
from flows.steps import STEPS, StepResult, run_step

LAST, PAGE = "report", "report.html"


@dataclass(frozen=True)
class Trained:
    """``metrics``: `<task>/<method>/<metric>` on what is held out, empty without a truth; the model's own go by its ``kind``.
    ``networks``: the trained one and those that were made for hardware profiles, none of boosted trees. ``folder``: where
    the model is, ``report``: the page about it.
    """

    steps: tuple[StepResult, ...]
    kind: str
    metrics: dict[str, float]
    networks: tuple[MadeNetwork, ...]
    folder: str
    report: str


def train(workspace: Workspace) -> Trained:
    """Make the steps up to training and its report where they are not up to date; each is put out in `out/<step>`.

    Raises:
        Conflict: another run holds the workspace.
        MusterError: whatever the step that failed says; what was finished before it is kept.
    """
    with one_at_a_time(workspace):
        results = make_up_to(workspace, LAST)
    folder = workspace.out / "train"
    metrics = json.loads((folder / "metrics.json").read_text())
    kind, page = workspace.settings.model.kind, str(workspace.out / LAST / PAGE)
    return Trained(tuple(results), kind, metrics, tuple(networks_in(folder)), str(folder), page)


def make_up_to(workspace: Workspace, last: str) -> list[StepResult]:
    """Make the steps from the first to ``last``, none of them one a profile."""
    names = [step.name for step in STEPS]
    return [result for name in names[: names.index(last) + 1] for result in _told(workspace, name)]


def report_file(model: str, workspace: Path) -> Path:
    """The page about the last training of the workspace in the folder ``model``, or about the version with that number or
    alias of the workspace in the folder ``workspace``, fetched into `.muster/reports/model`.

    Raises:
        NotFound: no workspace, no version, or no report of it.
    """
    if Path(model).is_dir():
        file = open_workspace(Path(model)).out / LAST / PAGE
        if not file.is_file():
            raise NotFound(f"no report in {file.parent}", hint=f"muster train {model} makes it")
        return file.resolve()
    from registry import models

    opened = open_workspace(workspace)
    version = models.find_version(opened, model)
    kept = opened.state / "reports" / "model" / version.run_id / PAGE
    with TemporaryDirectory() as folder:
        write_bytes(kept, models.fetch(opened, version, f"{models.REPORT}/{PAGE}", Path(folder)).read_bytes())
    return kept.resolve()


def _told(workspace: Workspace, name: str) -> list[StepResult]:
    with progress.timed(name) as done:
        results = run_step(workspace, name)
        kept = "kept from an earlier run: " if all(r.reused for r in results) else ""
        done.note = kept + describe(workspace, name, None)
    return results
