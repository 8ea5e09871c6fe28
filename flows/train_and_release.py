"""The main job: unlabelled telemetry in, drafted releases of proven artefacts out.

Prefect says what runs, in which order and with which retries; results live in the workspace's step store, and
only digests travel between tasks. `muster run` calls the flow in process; `prefect.yaml` schedules it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, task, unmapped
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from components.workspace import Workspace, open_workspace
from components.workspace.errors import BackendUnreachable
from flows import progress, release
from flows.notes import describe
from flows.runs import RELEASE, Run, Stopwatch, one_at_a_time
from flows.steps import StepResult, run_step, settle


async def _may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry only what can pass by itself: a server that did not answer."""
    result = await state.aresult(raise_on_failure=False)
    return isinstance(result, BackendUnreachable)


_RETRIED: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [2, 10, 30],
    "retry_jitter_factor": 0.3,
    "retry_condition_fn": _may_pass,
    "persist_result": False,
}


@task(**_RETRIED)
def ingest(root: str) -> str:
    return _step(root, "ingest")


@task(**_RETRIED)
def validate(root: str, lake: str) -> str:
    return _step(root, "validate")


@task(**_RETRIED)
def make_windows(root: str, telemetry: str) -> str:
    return _step(root, "features")


@task(**_RETRIED)
def label(root: str, windows: str) -> str:
    return _step(root, "label")


@task(**_RETRIED)
def train(root: str, windows: str, labels: str) -> str:
    return _step(root, "train")


@task(**_RETRIED)
def report(root: str, model: str) -> str:
    return _step(root, "report")


@task(**_RETRIED)
def quantize(root: str, profile: str, model: str) -> str:
    return _step(root, "quantize", profile)


@task(**_RETRIED)
def prove(root: str, profile: str, artefact: str) -> str:
    return _step(root, "prove", profile)


@task(**_RETRIED)
def register(root: str, page: str, proofs: list[str]) -> Any:
    workspace = open_workspace(Path(root))
    release.require_proofs(workspace)
    with progress.timed("register") as done:
        version = release.register(workspace)
        done.note = f"{version.name} version {version.version}"
    return version


@task(**_RETRIED)
def draft(root: str, version: Any) -> list[str]:
    workspace = open_workspace(Path(root))
    with progress.timed("draft") as done:
        drafts = release.draft(workspace, version)
        release.remember(workspace, version, drafts)
        done.note = f"{sum(len(d.manifests) for d in drafts)} manifests for {len(drafts)} fleets"
    return [d.id for d in drafts]


@flow(name="train-and-release", validate_parameters=False)
def train_and_release(workspace: str) -> Run:
    """Run the main job on the workspace folder ``workspace``; the drafted releases wait for two people."""
    root = str(Path(workspace).resolve())
    opened, watch = open_workspace(Path(root)), Stopwatch()
    profiles = [p.name for p in opened.profiles]
    with one_at_a_time(opened):
        kept, missing = settle(opened)
        lake = ingest(root)
        telemetry = validate(root, lake)
        windows = make_windows(root, telemetry)
        labels = label(root, windows)
        model = train(root, windows, labels)
        page = report(root, model)
        artefacts = quantize.map(unmapped(root), profiles, unmapped(model))
        proofs = prove.map(unmapped(root), profiles, artefacts)
        artefacts.result()  # a profile that could not be compiled says so itself, not as a proof that never began
        version = register(root, page, proofs.result())
        draft(root, version)
        skipped = dict.fromkeys(r.step for r in kept if r.step not in missing)
        return watch.finish(opened, tuple(skipped), (*missing, *RELEASE))


def _step(root: str, name: str, profile: str | None = None) -> str:
    workspace: Workspace = open_workspace(Path(root))
    with progress.timed(f"{name} {profile}" if profile else name) as done:
        results: list[StepResult] = run_step(workspace, name, profile)
        kept = "kept from an earlier run: " if all(r.reused for r in results) else ""
        done.note = kept + describe(workspace, name, profile)
    return ",".join(r.digest for r in results)
