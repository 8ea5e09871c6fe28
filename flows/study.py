"""`muster model study`: what pre-training is worth with few labels; finished trials are kept by what they depend on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from components.workspace import Workspace
from components.workspace.errors import InputError, NotFound
from components.workspace.files import sha256_json, write_json
from components.workspace.store import digest_of
from flows import progress
from flows.bodies import declared_truth
from flows.runs import one_at_a_time
from flows.steps import code_digest, find
from flows.training import make_up_to

if TYPE_CHECKING:
    from components.training.study.study import Study
    from components.training.study.trial import Outcome, Trial

_SETTINGS = {"telemetry", "windows", "tasks", "evaluation", "model"}


def study(workspace: Workspace, seeds: int, labels: Sequence[int], task: str | None) -> Study:
    """Train with and without pre-training on each number of ``labels``, ``seeds`` times from the workspace's seed on.

    ``task``: one with classes, None for all of them. The same study goes on where it was killed; trials of an earlier one
    count again as long as windows, labels, configuration and code are the same.

    Raises:
        NotFound: no such task.
        InputError: no task has classes, nothing is pre-trained, or labels or truth are too few.
        Conflict: another run holds the workspace.
    """
    tasks = _tasks(workspace, task)
    if not workspace.settings.model.pretrain_steps:
        raise InputError("model.pretrain_steps is 0: there is no pre-training to study", hint="raise it in muster.yaml")
    with one_at_a_time(workspace):
        make_up_to(workspace, "label")
        return _study(workspace, tasks, sorted(set(labels)), range(workspace.settings.seed, workspace.settings.seed + seeds))


def _study(workspace: Workspace, tasks: list[str], counts: list[int], seeds: Sequence[int]) -> Study:
    import pandas as pd

    from components.training.study.study import conclude
    from components.training.study.trial import Trial, check, run_trials
    from components.values import LabelSet, Windows

    windows = Windows.load(workspace.out / "features")
    statistics = pd.read_parquet(workspace.out / "features" / "statistics.parquet")
    labels = [LabelSet.load(workspace.out / "label", task) for task in tasks]
    for label in labels:
        check(workspace, windows, label, counts)
    content = _content(workspace, tasks)
    unfinished = workspace.state / "studies" / "unfinished" / content
    outcomes: list[Outcome] = []
    for seed, count in product(seeds, counts):
        with progress.timed(f"{count} labels, seed {seed}") as done:
            files = [_file(workspace, content, Trial(task, count, seed)) for task in tasks]
            found = _kept(files)
            if not found:
                found = run_trials(workspace, windows, labels, statistics, count, seed, unfinished, progress.report)
                for file, outcome in zip(files, found, strict=True):
                    write_json(file, outcome.to_json())
            done.note = ", ".join(f"{o.trial.task} {method} {value:.3f}" for o in found for method, value in o.macro_f1.items())
        outcomes += found
    shutil.rmtree(unfinished, ignore_errors=True)
    return conclude(workspace.settings.name, outcomes)


def _tasks(workspace: Workspace, task: str | None) -> list[str]:
    known = [t.name for t in workspace.settings.tasks if t.kind == "classes"]
    if task is not None and task not in known:
        raise NotFound(f"no task '{task}' with classes", hint=f"the workspace has {', '.join(known) or 'none'}")
    if not known:
        raise InputError("no task of this workspace has classes", hint="a study compares classes with few labels")
    return known if task is None else [task]


def _content(workspace: Workspace, tasks: list[str]) -> str:
    """Digest of all that a trial depends on beside its own choices."""
    settings = workspace.settings.model_dump(mode="json", include=_SETTINGS)
    inputs = [digest_of(workspace.out / name) for name in ("features", "label")]
    return sha256_json([tasks, inputs, settings, declared_truth(workspace, ""), code_digest(find("train"))])


def _file(workspace: Workspace, content: str, trial: Trial) -> Path:
    return workspace.state / "studies" / "outcomes" / f"{sha256_json([content, asdict(trial)])}.json"


def _kept(files: list[Path]) -> list[Outcome]:
    """Nothing where one of them is missing."""
    from components.training.study.trial import Outcome

    there = all(file.is_file() for file in files)
    return [Outcome.from_json(json.loads(file.read_text())) for file in files] if there else []
