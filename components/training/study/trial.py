"""Trials: the same few labels for the network with pre-training, without it, and for gradient boosting.

One network learns all tasks of a study, as the one of `train` does; each draws its own labelled windows.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.training.baselines import gradient_boosting
from components.training.checkpoint import Checkpoints
from components.training.device import training_device
from components.training.evaluation import macro_f1, read_truth, window_classes
from components.training.loop import Engine
from components.training.normal import predict
from components.training.study.few import few
from components.training.train import Progress, Rows, calibration_split, train_network
from components.values import LabelSet, Windows
from components.workspace import Workspace
from components.workspace.errors import InputError
from components.workspace.files import write_bytes

if TYPE_CHECKING:
    import pandas as pd

PRETRAINED, SCRATCH, BOOSTING = "pretrained", "scratch", "gradient_boosting"
METHODS = (PRETRAINED, SCRATCH, BOOSTING)


@dataclass(frozen=True)
class Trial:
    """``labels``: labelled windows; ``seed``: of their draw, the weights and the batches."""

    task: str
    labels: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """``macro_f1``: method -> on the held-out windows."""

    trial: Trial
    macro_f1: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Outcome:
        return cls(Trial(**value["trial"]), value["macro_f1"])


def run_trials(
    workspace: Workspace,
    windows: Windows,
    labels: Sequence[LabelSet],
    statistics: pd.DataFrame,
    count: int,
    seed: int,
    unfinished: Path,
    progress: Progress,
) -> list[Outcome]:
    """One outcome a task of ``labels``, each after ``count`` labelled windows.

    ``unfinished``: a folder for checkpoints, so that killed trials go on and those of a seed share their pre-training.

    Which windows look normal is what labels say; with so few, all training windows are taken for it.

    Raises:
        InputError: too few labelled windows, or no truth of the held-out ones.
    """
    rows = _rows(windows)
    held_out = {label.task: held_out_classes(workspace, windows, label) for label in labels}
    known = [few(label, rows.taught(label), count, seed) for label in labels]
    threads, mine = workspace.settings.model.threads, unfinished / f"{count}-{seed}"
    found = {(BOOSTING, label.task): _boosted(statistics, label, rows, held_out[label.task][0], seed, threads) for label in known}
    for method in (PRETRAINED, SCRATCH):
        shared = unfinished / f"pre-train-{seed}.checkpoint" if method == PRETRAINED else None
        with_steps = _with(workspace, seed, None if method == PRETRAINED else 0)
        engine = Engine(training_device(workspace.settings.model.device), progress, _begun(mine / method, shared))
        encoder = train_network(with_steps, windows, known, (), rows, engine)
        _share(mine / method, shared)
        for task, (test, _) in held_out.items():
            types = encoder.architecture.positions(windows.profiles[test])
            found[method, task] = predict(encoder, windows.codes[test], types)[task]
    shutil.rmtree(mine, ignore_errors=True)
    return [
        Outcome(
            Trial(label.task, count, seed),
            {m: macro_f1(held_out[label.task][1], found[m, label.task], len(label.classes)) for m in METHODS},
        )
        for label in labels
    ]


def check(workspace: Workspace, windows: Windows, label: LabelSet, counts: Sequence[int]) -> None:
    """Whether trials with these numbers of labels can be run and judged, before any is.

    Raises:
        InputError: too few labelled windows, or no truth of the held-out ones.
    """
    held_out_classes(workspace, windows, label)
    for count in counts:
        few(label, _rows(windows).taught(label), count, workspace.settings.seed)


def held_out_classes(workspace: Workspace, windows: Windows, label: LabelSet) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Rows of held-out windows and the true class of each: declared gold labels where there are some of them, else the
    workspace's truth.

    Raises:
        InputError: neither says anything of them.
    """
    test = np.flatnonzero(windows.test)
    declared = test[label.gold[test] >= 0]
    if label.source == "gold" and len(declared):
        return declared, label.gold[declared]
    truth = read_truth(workspace)
    segments = None if truth is None else truth[truth["task"] == label.task]
    if segments is None or segments.empty or not len(test):
        raise InputError(
            f"no truth of task '{label.task}': nothing to judge a study by on what is held out",
            hint="declare evaluation.truth in muster.yaml, or gold labels of held-out windows too",
        )
    return test, window_classes(windows.index.iloc[test], segments, label.classes)


def _rows(windows: Windows) -> Rows:
    fit, calibration = calibration_split(windows)
    return Rows(fit, calibration, fit, calibration)


def _boosted(
    statistics: pd.DataFrame, label: LabelSet, rows: Rows, test: NDArray[np.int64], seed: int, threads: int
) -> NDArray[np.int8]:
    probabilities = gradient_boosting(statistics, label, rows.taught(label), seed, threads)(statistics.iloc[test])
    return probabilities.argmax(axis=1).astype(np.int8)


def _with(workspace: Workspace, seed: int, pretrain_steps: int | None) -> Workspace:
    settings = workspace.settings
    steps = settings.model.pretrain_steps if pretrain_steps is None else pretrain_steps
    model = settings.model.model_copy(update={"pretrain_steps": steps})
    return replace(workspace, settings=settings.model_copy(update={"seed": seed, "model": model}))


def _begun(folder: Path, shared: Path | None) -> Checkpoints:
    """Checkpoints that begin with the pre-training of another trial of the seed, where there is one."""
    mine = folder / "pre-train.checkpoint"
    if shared is not None and shared.is_file() and not mine.is_file():
        write_bytes(mine, shared.read_bytes())
    return Checkpoints(folder)


def _share(folder: Path, shared: Path | None) -> None:
    if shared is not None and not shared.is_file():
        write_bytes(shared, (folder / "pre-train.checkpoint").read_bytes())
