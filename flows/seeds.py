"""`muster model seeds`: the model of a workspace again for every seed; finished seeds are kept by what they depend on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from components.workspace import Workspace
from components.workspace.files import sha256_json, write_json
from components.workspace.store import digest_of
from flows import progress
from flows.bodies import declared_truth, learned_from
from flows.runs import one_at_a_time
from flows.steps import code_digest, find
from flows.training import make_up_to

if TYPE_CHECKING:
    import pandas as pd

    from components.training.study.seed import SeedOutcome
    from components.training.study.seeds import Seeds
    from components.values import LabelSet, Targets, Windows


@dataclass(frozen=True)
class _Lesson:
    """What every seed learns from."""

    windows: Windows
    labels: list[LabelSet]
    targets: list[Targets]
    statistics: pd.DataFrame


def seeds(workspace: Workspace, count: int) -> Seeds:
    """Train and judge the model ``count`` times, from the workspace's seed on, on the same windows and labels.

    The workspace's own model is not touched. The same call goes on where it was killed; seeds of an earlier one count again as
    long as windows, labels, truth, configuration and code are the same.

    Raises:
        NotFound: the file of the truth is not there.
        InputError: nothing is held out, no truth is declared, or there is too little to learn from.
        Conflict: another run holds the workspace.
    """
    from components.training.study.seed import check_truth

    check_truth(workspace)
    first = workspace.settings.seed
    with one_at_a_time(workspace):
        make_up_to(workspace, "label")
        return _seeds(workspace, range(first, first + count))


def _seeds(workspace: Workspace, numbers: Sequence[int]) -> Seeds:
    from components.training.study.seed import check_held_out
    from components.training.study.seeds import over_seeds

    lesson = _lesson(workspace)
    check_held_out(lesson.windows)
    outcomes = []
    for number in numbers:
        with progress.timed(f"seed {number}") as done:
            outcome, kept = _finished(_with(workspace, number), lesson)
            done.note = (
                "kept from an earlier run"
                if kept
                else f"{len(outcome.methods)} methods on {len(outcome.methods[0].devices):,} devices"
            )
        outcomes.append(outcome)
    return over_seeds(workspace.settings.name, outcomes, workspace.settings.seed)


def _lesson(workspace: Workspace) -> _Lesson:
    import pandas as pd

    from components.values import Windows

    labels, targets = learned_from(workspace, workspace.out / "label")
    statistics = pd.read_parquet(workspace.out / "features" / "statistics.parquet")
    return _Lesson(Windows.load(workspace.out / "features"), labels, targets, statistics)


def _finished(workspace: Workspace, lesson: _Lesson) -> tuple[SeedOutcome, bool]:
    """The outcome of the seed of ``workspace``, and whether it was there already."""
    from components.training.study.seed import SeedOutcome

    key = _key(workspace)
    file = workspace.state / "seeds" / "outcomes" / f"{key}.json"
    unfinished = workspace.state / "seeds" / "unfinished" / key
    kept = file.is_file()
    if not kept:
        write_json(file, _trained(workspace, lesson, unfinished).to_json())
    shutil.rmtree(unfinished, ignore_errors=True)
    return SeedOutcome.from_json(json.loads(file.read_text())), kept


def _trained(workspace: Workspace, lesson: _Lesson, unfinished: Path) -> SeedOutcome:
    """``unfinished``: a folder for checkpoints."""
    from components.quantization.detectors import of_model
    from components.training.checkpoint import Checkpoints
    from components.training.reporting.write import training_report
    from components.training.study.seed import outcome_of
    from components.training.train import train

    windows, labels, statistics, targets = lesson.windows, lesson.labels, lesson.statistics, lesson.targets
    checkpoints = Checkpoints(unfinished, progress.say)
    model = train(_without_truth(workspace), windows, labels, statistics, progress.report, checkpoints, targets=targets)
    anomaly = [task.name for task in workspace.settings.tasks if task.kind == "anomaly"]
    report = training_report(workspace, windows, labels, statistics, of_model(model, *anomaly), model.curves, targets, model)
    assert report.evaluation is not None  # noqa: S101 - something is held out
    return outcome_of(workspace.settings.seed, report.evaluation, model.curves)


def _with(workspace: Workspace, seed: int) -> Workspace:
    """Without networks for single profiles: they are made out of the trained one, which alone is judged."""
    model = workspace.settings.model.model_copy(update={"shapes": ()})
    return replace(workspace, settings=workspace.settings.model_copy(update={"seed": seed, "model": model}))


def _without_truth(workspace: Workspace) -> Workspace:
    """Training then spares its own look at what is held out, which the report has anyway."""
    evaluation = workspace.settings.evaluation.model_copy(update={"truth": None})
    return replace(workspace, settings=workspace.settings.model_copy(update={"evaluation": evaluation}))


def _key(workspace: Workspace) -> str:
    """Digest of all that the outcome of the workspace's seed depends on."""
    steps = find("train"), find("report")
    settings = workspace.settings.model_dump(mode="json", include={name for step in steps for name in step.settings})
    inputs = [digest_of(workspace.out / name) for name in ("features", "label")]
    return sha256_json([inputs, settings, declared_truth(workspace, ""), code_digest(find("report"))])
