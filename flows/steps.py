"""The step table: what each step from ingest to prove reads, what its result depends on, and the call that makes it.

`muster step`, `dvc.yaml` and the Prefect flow all go through `run_step`, so they make the same bytes and none
repeats another's work: a result is kept in the step store under the digest of its inputs, its part of the
configuration, what it reads from outside, and the source code of its package and the layers below.
"""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.workspace import Workspace
from components.workspace.errors import InputError, NotFound
from components.workspace.files import sha256_file, sha256_json, sha256_tree
from components.workspace.store import StepStore, digest_of
from flows import bodies
from flows.bodies import Work

LAYERS = (
    "workspace",
    "runtime",
    "values",
    "ingestion",
    "validation",
    "features",
    "labeling",
    "models",
    "training",
    "quantization",
)
"""Packages of `components`, lowest first: the code of a step is its package and all before it."""


@dataclass(frozen=True)
class Step:
    """``sharded``: one result a hardware profile. ``settings``: the part of muster.yaml the result depends on.

    ``outside``: what the step reads that no other step made, as JSON. ``body`` writes the result into an empty folder.
    """

    name: str
    package: str
    inputs: tuple[str, ...]
    settings: tuple[str, ...]
    body: Callable[[Work], None]
    outside: Callable[[Workspace, str], Any] = lambda workspace, profile: None
    sharded: bool = False


@dataclass(frozen=True)
class StepResult:
    """``reused``: the result was in the store already."""

    step: str
    profile: str
    key: str
    digest: str
    reused: bool
    seconds: float


STEPS: tuple[Step, ...] = (
    Step("ingest", "ingestion", (), ("storage", "telemetry"), bodies.ingest, bodies.raw_objects),
    Step("validate", "validation", ("ingest",), ("telemetry", "validation"), bodies.validate, bodies.profile_names),
    Step(
        "features",
        "features",
        ("validate",),
        ("seed", "telemetry", "windows", "evaluation"),
        bodies.features,
        bodies.groups_and_streams,
    ),
    Step(
        "label",
        "labeling",
        ("features",),
        ("seed", "tasks", "labeling", "records", "telemetry", "windows"),
        bodies.label,
        bodies.labelling_sources,
    ),
    Step(
        "train",
        "training",
        ("features", "label"),
        ("name", "seed", "telemetry", "windows", "tasks", "evaluation", "model"),
        bodies.train,
        bodies.declared_truth,
    ),
    Step(
        "report",
        "quantization",
        ("features", "label", "train"),
        ("seed", "telemetry", "windows", "tasks", "evaluation", "model"),
        bodies.report,
        bodies.declared_truth,
    ),
    Step(
        "quantize",
        "quantization",
        ("features", "train"),
        ("seed", "windows"),
        bodies.quantize,
        bodies.profile_facts,
        sharded=True,
    ),
    Step(
        "prove",
        "quantization",
        ("features", "train", "quantize"),
        ("tasks", "evaluation", "telemetry"),
        bodies.prove,
        bodies.profile_facts_truth_and_tools,
        sharded=True,
    ),
)

_BY_NAME = {step.name: step for step in STEPS}


def run_step(workspace: Workspace, name: str, profile: str | None = None) -> list[StepResult]:
    """Make the result of one step, of one profile or of all, take it from the store when it is there, and put it
    into `out/<step>`, where the next step reads it.

    Raises:
        NotFound: no such step, or no such profile.
        InputError: a step before it has put out nothing, or a profile for a step that has none.
    """
    step = find(name)
    if profile is not None:
        if not step.sharded:
            raise InputError(f"step '{name}' has one result for all profiles", hint=f"leave --profile {profile} out")
        workspace.profile(profile)
    shards = _shards(workspace, step) if profile is None else (profile,)
    return [_run_shard(workspace, step, shard) for shard in shards]


def settle(workspace: Workspace) -> tuple[list[StepResult], list[str]]:
    """Put out every result the store already has, from the first step on; (those results, the steps that must run).

    Works on digests alone and imports nothing heavy: this is how a second run is over before Prefect has started.
    """
    done: list[StepResult] = []
    for place, step in enumerate(STEPS):
        for shard in _shards(workspace, step):
            began = time.monotonic()
            key = key_of(workspace, step, shard, step.outside(workspace, shard))
            digest = _store(workspace).digest(_shelf(step, shard), key)
            if digest is None:
                return done, [later.name for later in STEPS[place:]]
            _store(workspace).materialise(_shelf(step, shard), key, workspace.out / step.name / shard)
            done.append(StepResult(step.name, shard, key, digest, True, time.monotonic() - began))
    return done, []


def is_current(workspace: Workspace, name: str, profile: str) -> bool:
    """Whether what the step has put out for ``profile`` is what data, configuration and code would make now."""
    step = find(name)
    known = _store(workspace).digest(_shelf(step, profile), key_of(workspace, step, profile, step.outside(workspace, profile)))
    return known is not None and known == digest_of(workspace.out / name / profile)


def key_of(workspace: Workspace, step: Step, profile: str, outside: Any) -> str:
    """The store key of a result, from what its inputs have put out and what it reads from outside."""
    inputs = [[up, digest_of(_input(workspace, up, profile))] for up in step.inputs]
    settings = workspace.settings.model_dump(mode="json", include=set(step.settings))
    return sha256_json([step.name, profile, inputs, settings, outside, code_digest(step)])


def code_digest(step: Step) -> str:
    """Digest of the source of the step's package, the layers below, and the step bodies."""
    here = Path(__file__).parent
    layers = LAYERS[: LAYERS.index(step.package) + 1]
    sources = [[layer, _sources(here.parent / "components" / layer)] for layer in layers]
    return sha256_json([*sources, sha256_file(here / "bodies.py")])


def find(name: str) -> Step:
    if name not in _BY_NAME:
        raise NotFound(f"no step '{name}'", hint=f"the steps are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def _run_shard(workspace: Workspace, step: Step, profile: str) -> StepResult:
    inputs = {up: _input(workspace, up, profile) for up in step.inputs}
    for up, folder in inputs.items():
        if not folder.is_dir():
            raise InputError(f"step '{step.name}' has nothing to work on: {folder} is not there", hint=f"muster step {up}")
    began = time.monotonic()
    outside = step.outside(workspace, profile)
    key = key_of(workspace, step, profile, outside)
    store = _store(workspace)
    resume = workspace.state / "checkpoints" / key
    try:
        stored = store.run(
            _shelf(step, profile), key, lambda folder: step.body(Work(workspace, inputs, folder, profile, outside, resume))
        )
    except Exception:
        _withdraw(workspace, step, profile)
        raise
    shutil.rmtree(resume, ignore_errors=True)
    store.materialise(_shelf(step, profile), key, workspace.out / step.name / profile)
    return StepResult(step.name, profile, key, stored.digest, stored.reused, time.monotonic() - began)


def _withdraw(workspace: Workspace, step: Step, profile: str) -> None:
    """A profile that has no artefact now must not show, or release, the one it had before. The store keeps that."""
    if profile:
        for later in STEPS[STEPS.index(step) :]:
            if later.sharded:
                shutil.rmtree(workspace.out / later.name / profile, ignore_errors=True)


def _shards(workspace: Workspace, step: Step) -> tuple[str, ...]:
    return tuple(p.name for p in workspace.profiles) if step.sharded else ("",)


def _input(workspace: Workspace, up: str, profile: str) -> Path:
    return workspace.out / up / profile if find(up).sharded else workspace.out / up


def _shelf(step: Step, profile: str) -> str:
    return f"{step.name}@{profile}" if profile else step.name


def _store(workspace: Workspace) -> StepStore:
    return StepStore(workspace.state / "store")


@functools.cache
def _sources(folder: Path) -> str:
    return sha256_tree(folder, [p for p in folder.rglob("*") if "__pycache__" not in p.parts])
