"""The model and what people use, each fitted, scored and given a threshold in the same way.

What baselines learn from is what the model learned from: the training windows of the workspace, or, where no workspace
has them, the first windows of each device in the data, which are then not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.features.columns import STATISTICS_FILE
from components.features.statistics import window_statistics
from components.training.baselines import DETECTORS, boosted_numbers, conv_autoencoder, gradient_boosting
from components.training.compare import BASELINE as BOOSTING
from components.training.compare import FLOAT_BOOSTING
from components.training.judging.detector import Detector, Said
from components.training.train import CALIBRATION_SHARE, calibration_split, normal_windows
from components.values import LabelSet, Targets, Windows
from components.workspace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from components.workspace import Workspace

MODEL = "model"
AUTOENCODER = "conv_autoencoder"


@dataclass(frozen=True)
class Lesson:
    """What there is to learn from. ``fit``, ``calibration``: positions in ``codes``, apart from each other; ``profiles``: of all.

    ``labels``, ``targets``, ``statistics``, ``train``: for gradient boosting, empty where a workspace has none. ``seen``:
    device_id, start and end of the windows that the model may have been trained on, None where that is not known.
    """

    codes: NDArray[np.int8]
    profiles: NDArray[Any]
    fit: NDArray[np.int64]
    calibration: NDArray[np.int64]
    labels: tuple[LabelSet, ...]
    targets: tuple[Targets, ...]
    statistics: pd.DataFrame | None
    train: NDArray[np.int64]
    seen: pd.DataFrame | None
    source: str


@dataclass(frozen=True)
class Method:
    """One method's word on the judged windows: (windows,) scores, classes and values, None and {} where it has none.

    ``threshold``: at or above it a window is hot; None without calibration windows.
    """

    name: str
    scores: NDArray[np.float64] | None
    threshold: float | None
    classes: dict[str, NDArray[np.int8]]
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def workspace_lesson(workspace: Workspace, detector: Detector) -> Lesson | None:
    """The training windows in the workspace's `out/features` with the labels in `out/label`; None where they do not fit."""
    import pandas as pd

    folder = workspace.out / "features"
    if not (folder / "windows.json").is_file():
        return None
    windows = Windows.load(folder)
    if windows.channels != detector.channels or windows.codes.shape[1] != detector.steps:
        return None
    names = [task.name for task in workspace.settings.tasks if task.votes]
    labels = [LabelSet.load(workspace.out / "label", n) for n in names if (workspace.out / "label" / n / "labels.json").is_file()]
    labels = [label for label in labels if len(label.covered) == len(windows)]
    targets = _targets(workspace, len(windows))
    return lesson_of(windows, labels, targets, pd.read_parquet(folder / STATISTICS_FILE) if labels or targets else None)


def lesson_of(windows: Windows, labels: list[LabelSet], targets: tuple[Targets, ...], statistics: pd.DataFrame | None) -> Lesson:
    """What a model of a workspace with these windows, labels and targets was trained on."""
    fit, calibration = calibration_split(windows)
    normal = normal_windows(labels, len(windows))
    quiet = calibration[normal[calibration]]
    return Lesson(
        windows.codes,
        windows.profiles,
        fit[normal[fit]],
        quiet if len(quiet) else calibration,
        tuple(labels),
        targets,
        statistics,
        np.flatnonzero(windows.train),
        windows.index[windows.train][["device_id", "start", "end"]],
        f"{len(fit):,} training windows of the workspace",
    )


def _targets(workspace: Workspace, windows: int) -> tuple[Targets, ...]:
    """What `out/label` holds of the workspace's regressions, as far as it is of these windows."""
    folder = workspace.out / "label"
    names = [task.name for task in workspace.settings.tasks if task.kind == "regression"]
    found = [Targets.load(folder, name) for name in names if (folder / name / "targets.json").is_file()]
    return tuple(target for target in found if len(target.values) == windows)


def first_windows(windows: Windows, share: float) -> tuple[Lesson, NDArray[np.bool_]]:
    """The first ``share`` of each device's windows to learn from, and the (windows,) bool of those left to judge.

    Raises:
        InputError: no device has enough windows.
    """
    place = windows.index.groupby("device_id").cumcount().to_numpy()
    count = windows.index.groupby("device_id")["start"].transform("size").to_numpy()
    early = place < np.floor(share * count)
    late = place >= np.floor(share * count * (1 - CALIBRATION_SHARE))
    fit, calibration = np.flatnonzero(early & ~late), np.flatnonzero(early & late)
    if not len(fit) or not len(calibration):
        raise InputError(
            f"the first {share:.0%} of each device's windows are too few for the baselines to learn from",
            hint="bring longer telemetry, a larger --train-share, or name a workspace with out/features",
        )
    source = f"{len(fit):,} windows, the first {share:.0%} of each device's; these windows are not judged"
    touching = windows.index["start"] < windows.index["device_id"].map(windows.index[early].groupby("device_id")["end"].max())
    judged = ~early & ~np.asarray(touching)
    lesson = Lesson(windows.codes, windows.profiles, fit, calibration, (), (), None, np.zeros(0, np.int64), None, source)
    return lesson, judged


def compare(
    detector: Detector, windows: Windows, said: Said, lesson: Lesson, seed: int, *, autoencoder: bool
) -> Iterator[Method]:
    """The model first, then every baseline, on the judged ``windows``; ``said``: what the detector says of them."""
    classes = {task: logits.argmax(axis=1).astype(np.int8) for task, logits in said.logits.items()}
    if not detector.anomaly:
        yield Method(MODEL, None, None, classes, said.values)
        return
    threshold = detector.threshold
    if threshold is None:
        calm = detector.score(lesson.codes[lesson.calibration], lesson.profiles[lesson.calibration])
        threshold = _threshold(calm.score, detector)
    yield Method(MODEL, said.score, threshold, classes, said.values)
    for name, fit in (DETECTORS | ({AUTOENCODER: conv_autoencoder} if autoencoder else {})).items():
        score = fit(lesson.codes, lesson.fit, seed)
        calibrated = _threshold(score(lesson.codes[lesson.calibration]), detector)
        yield Method(name, score(windows.codes), calibrated, {})


def boosted(workspace: Workspace, detector: Detector, windows: Windows, lesson: Lesson, seed: int) -> Method | None:
    """Gradient boosting on the workspace's labels; None where it has none to learn from."""
    if lesson.statistics is None:
        return None
    statistics = window_statistics(workspace, windows)
    classes: dict[str, NDArray[np.int8]] = {}
    scores, threshold = None, None
    for label in lesson.labels:
        if not label.covered[lesson.train].any():
            continue
        fitted = gradient_boosting(lesson.statistics, label, lesson.train, seed, workspace.settings.model.threads)
        probabilities = fitted(statistics)
        if label.task in detector.classes:
            classes[label.task] = (probabilities * label.decision_weights).argmax(axis=1).astype(np.int8)
        if label.source == "weak" and detector.anomaly:
            scores = 1.0 - probabilities[:, 0]
            threshold = _threshold(1.0 - fitted(lesson.statistics.iloc[lesson.calibration])[:, 0], detector)
    values = {
        target.task: boosted_numbers(lesson.statistics, target, seed, workspace.settings.model.threads)(statistics)
        for target in lesson.targets
        if target.task in detector.numbers
    }
    name = FLOAT_BOOSTING if workspace.settings.model.kind == BOOSTING else BOOSTING
    return Method(name, scores, threshold, classes, values) if classes or values or scores is not None else None


def part_of(windows: Windows, rows: NDArray[np.int64]) -> Windows:
    """The windows at the rising positions ``rows``, renumbered from 0."""
    if len(rows) == len(windows):
        return windows
    index = windows.index.iloc[rows].reset_index(drop=True)
    return replace(windows, values=windows.values[rows], codes=windows.codes[rows], index=index)


def _threshold(calibration: NDArray[Any], detector: Detector) -> float:
    """The score that the stated share of calibration windows reaches: every method accepts the same false alarms."""
    return float(np.quantile(calibration, 1 - detector.false_alarm_share))
