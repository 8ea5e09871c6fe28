"""Train the telemetry model of a workspace: pre-train, fine-tune, describe normal, evaluate beside baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE
from components.values import Architecture, BoostedModel, ElectraModel, Head, LabelSet, Targets, TrainedModel, Windows
from components.workspace import Workspace
from components.workspace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from components.models.telemetry_electra import Encoder
    from components.runtime.wide import Wide
    from components.training.checkpoint import Checkpoints
    from components.training.compare import Metrics
    from components.training.loop import Engine
    from components.workspace.settings import Task

Progress = Callable[[str, int, int], None]
"""Called with (phase, steps done, steps in all)."""

CALIBRATION_SHARE = 0.2
"""Last share of each training device's windows that only calibrates thresholds; training never sees it."""
MIN_WINDOWS = 64


@dataclass(frozen=True)
class Rows:
    """Positions of training windows: to ``fit`` on and for ``calibration``; ``clean`` and ``quiet``: those that look normal."""

    fit: NDArray[np.int64]
    calibration: NDArray[np.int64]
    clean: NDArray[np.int64]
    quiet: NDArray[np.int64]

    def taught(self, label: LabelSet) -> NDArray[np.int64]:
        """Windows that may teach the wide part of a task, or trees, by device and time: all, where its classes are declared.

        The last windows of a device may hold states that come at no other time. Weak labels leave out those that calibrate,
        because what they call a fault is what thresholds are about.
        """
        return np.union1d(self.fit, self.calibration) if label.source == "gold" else self.fit


def train(
    workspace: Workspace,
    windows: Windows,
    labels: list[LabelSet],
    statistics: pd.DataFrame,
    progress: Progress = lambda *_: None,
    checkpoints: Checkpoints | None = None,
    *,
    targets: Sequence[Targets] = (),
) -> TrainedModel:
    """Windows, the labels of each labelled task and the numbers of each regression -> the trained model with its metrics
    on what is held out.

    ``statistics``: one row a window, for the gradient-boosting baseline. Deterministic given the workspace's seed, also
    where it is killed and goes on from ``checkpoints``.

    Raises:
        InputError: fewer than `MIN_WINDOWS` training windows, a labelled task with no labelled training window, no CUDA
            device where the settings ask for one, or losses that grow beyond all bounds.
    """
    if workspace.settings.model.kind == BoostedModel.kind:
        from components.training.boosting import boost

        return boost(workspace, windows, labels, targets, statistics, progress)
    from components.training.checkpoint import Checkpoints
    from components.training.compare import BASELINE, baselines
    from components.training.device import training_device
    from components.training.loop import Engine

    rows = rows_of(windows, labels)
    check_enough(windows, rows, labels)
    engine = Engine(training_device(workspace.settings.model.device), progress, checkpoints or Checkpoints())
    with ThreadPoolExecutor(1) as beside:  # where there is a second core, it fits baselines while the network trains on the first
        others = beside.submit(baselines, workspace, windows, labels, targets, statistics, rows.clean, BASELINE)
        return _electra(workspace, windows, labels, targets, rows, engine, others.result)


def _electra(
    workspace: Workspace,
    windows: Windows,
    labels: list[LabelSet],
    targets: Sequence[Targets],
    rows: Rows,
    engine: Engine,
    others: Callable[[], Metrics],
) -> ElectraModel:
    """``others``: waits for the metrics of the baselines."""
    from components.training.compare import label_facts, target_facts
    from components.training.normal import describe_normal
    from components.training.report import calibrated_threshold, held_out_metrics
    from components.training.shaping.reach import in_integers
    from components.training.shaping.shaping import shaped

    settings = workspace.settings
    encoder = train_network(workspace, windows, labels, targets, rows, engine)
    clean, quiet = rows.clean, rows.quiet
    types = encoder.architecture.positions(windows.profiles)
    normal = describe_normal(encoder, windows.codes, types, clean, quiet if len(quiet) else clean, settings.windows.core)
    threshold = calibrated_threshold(workspace, windows, encoder, normal)
    model = ElectraModel(
        name=settings.name,
        architecture=encoder.architecture,
        weights=encoder.deploy_weights(),
        wide=encoder.wide,
        normal=normal,
        shapes=shaped(workspace, windows, labels, rows, encoder, engine),
        channels=windows.channels,
        converter=windows.converter,
        calibration=windows.calibration,
        core=settings.windows.core,
        has_anomaly=any(task.kind == "anomaly" for task in settings.tasks),
        false_alarm_share=false_alarm_share(workspace),
        metrics=held_out_metrics(workspace, windows, encoder, normal, threshold, others, engine.progress),
        labels={label.task: label_facts(label, windows.train) for label in labels}
        | {target.task: target_facts(target, windows.train) for target in targets},
        threshold=threshold,
        curves=tuple(engine.curve),
    )
    return replace(model, metrics=model.metrics | in_integers(workspace, windows, model))


def train_network(
    workspace: Workspace,
    windows: Windows,
    labels: list[LabelSet],
    targets: Sequence[Targets],
    rows: Rows,
    engine: Engine,
) -> Encoder:
    """Pre-train and fine-tune the network of the workspace, and settle what its heads decide; ends on the processor."""
    import torch

    from components.models.telemetry_electra import Encoder
    from components.training.decisions import settle_decisions
    from components.training.device import compiled, repeatable
    from components.training.finetune import finetune
    from components.training.hearing import settle_hearing
    from components.training.pretrain import pretrain, settle_norms

    model, seed, codes = workspace.settings.model, workspace.settings.seed, windows.codes
    torch.manual_seed(seed)
    torch.set_num_threads(model.threads)
    repeatable(engine.device)
    encoder = Encoder(_architecture(workspace, windows)).to(engine.device)
    compiled(encoder, engine.device)
    types = encoder.architecture.positions(windows.profiles)
    generator = pretrain(encoder, codes, types, rows, model, seed, engine)
    settle_norms(encoder, codes, types, rows.clean, seed, engine.device)
    if encoder.architecture.heads:
        encoder.wide = _wide_parts(workspace, codes, rows, labels)
        finetune(encoder, generator, codes, types, rows, labels, targets, model, seed, engine)
    encoder = encoder.on_processor()  # what follows is a pass or two over the windows
    settle_hearing(encoder, codes, rows, labels, types)
    settle_decisions(encoder, codes, rows, labels, types)
    return encoder


def _wide_parts(workspace: Workspace, codes: NDArray[np.int8], rows: Rows, labels: list[LabelSet]) -> dict[str, Wide]:
    """Task -> its wide part, of the tasks that decide classes and have examples of two."""
    from components.training.wide import fit_wide

    tasks = [task.name for task in workspace.settings.tasks if task.kind == "classes" and workspace.settings.model.wide]
    found = {label.task: fit_wide(codes, label, rows.taught(label)) for label in labels if label.task in tasks}
    return {task: wide for task, wide in found.items() if wide is not None}


def rows_of(windows: Windows, labels: list[LabelSet]) -> Rows:
    """What of the training windows serves what; the labels say which look normal."""
    (fit, calibration), normal = calibration_split(windows), normal_windows(labels, len(windows))
    return Rows(fit, calibration, fit[normal[fit]], calibration[normal[calibration]])


def calibration_split(windows: Windows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows to fit on, rows to calibrate on): the last windows of each training device calibrate."""
    rows = np.flatnonzero(windows.train)  # ordered by device and time
    device = windows.index["device_id"].to_numpy()[rows]
    starts = np.flatnonzero(np.concatenate([[True], device[1:] != device[:-1]]))
    count = np.diff(np.concatenate([starts, [len(rows)]]))
    place = np.arange(len(rows)) - np.repeat(starts, count)
    late = place >= np.ceil(np.repeat(count, count) * (1 - CALIBRATION_SHARE))
    return rows[~late], rows[late]


def normal_windows(labels: list[LabelSet], count: int) -> NDArray[np.bool_]:
    """(windows,) false where a weak label is decided for something other than class 0.

    Declared gold labels name states of a machine rather than faults of single windows, so all of them are normal.
    """
    normal = np.ones(count, bool)
    for label in labels:
        if label.source == "weak":
            normal &= label.decided <= 0
    return normal if normal.any() else np.ones(count, bool)


def _architecture(workspace: Workspace, windows: Windows) -> Architecture:
    model, window = workspace.settings.model, workspace.settings.windows
    return Architecture(
        steps=windows.codes.shape[1],
        channels=windows.codes.shape[2],
        width=model.width,
        blocks=model.blocks,
        kernel=model.kernel,
        input_scale=window.clip / 127.0,
        heads=heads_of(workspace),
        optional=optional_channels(workspace, windows),
        types=device_types(windows) if model.device_types else (),
    )


def optional_channels(workspace: Workspace, windows: Windows) -> tuple[int, ...]:
    """Positions of the channels that the contract calls optional, or that a training device lacks in all its windows."""
    optional = np.asarray([channel.optional for channel in workspace.settings.telemetry.channels])
    rows = np.flatnonzero(windows.train)
    device = windows.index["device_id"].to_numpy()[rows]
    for mine in np.split(rows, np.flatnonzero(device[1:] != device[:-1]) + 1):
        optional |= (windows.codes[mine] == MISSING_CODE).all(axis=(0, 1))
    return tuple(np.flatnonzero(optional).tolist())


def device_types(windows: Windows) -> tuple[str, ...]:
    """The hardware profiles of the devices that there are training windows of, sorted."""
    return tuple(sorted({str(profile) for profile in windows.index["hardware_profile"][windows.train].dropna().unique()} - {""}))


def heads_of(workspace: Workspace) -> tuple[Head, ...]:
    """What a model of the workspace decides or predicts."""
    return tuple(_head(task) for task in workspace.settings.tasks if task.kind != "anomaly")


def _head(task: Task) -> Head:
    return Head(task.name, unit=task.unit, range=task.range) if task.range else Head(task.name, task.classes)


def false_alarm_share(workspace: Workspace) -> float:
    """The stated false alarms per device-day as a share of windows."""
    settings = workspace.settings
    windows_per_day = 86_400.0 / (settings.windows.stride * settings.telemetry.interval_s)
    return float(min(max(settings.model.false_alarms_per_day / windows_per_day, 1e-4), 0.1))


def check_enough(windows: Windows, rows: Rows, labels: list[LabelSet]) -> None:
    """Raises InputError where there is too little to learn from."""
    if len(rows.fit) < MIN_WINDOWS:
        raise InputError(
            f"{len(rows.fit)} training windows of {len(windows)}: too few to train on (at least {MIN_WINDOWS})",
            hint="ingest more telemetry, or shorten windows.stride or windows.steps",
        )
    for label in labels:
        if not label.covered[rows.taught(label)].any():
            raise InputError(
                f"task '{label.task}': not one training window is labelled",
                hint="muster labels report shows what the labelling functions vote",
            )
