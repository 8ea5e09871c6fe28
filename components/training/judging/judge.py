"""Judge a model on telemetry with labels: where a reader starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.training.evaluation import window_classes
from components.training.judging.detector import Detector, listen, standing
from components.training.judging.device import DeviceTruth, OnDevice, device_truth, on_device, step_blame
from components.training.judging.labels import Truth
from components.training.judging.methods import MODEL, Method, boosted, compare, part_of
from components.training.judging.result import Evaluation, Judged, TaskClasses
from components.training.judging.scope import Scope, settle
from components.training.judging.summary import Measure, class_measures, difference, summarise
from components.training.judging.summary_numbers import summarise_numbers
from components.training.numbers import true_numbers
from components.values import Windows

if TYPE_CHECKING:
    from components.workspace import Workspace

TRAIN_SHARE = 0.3
BUFFER_STEPS = 24
SEED = 7


def judge(
    detector: Detector,
    data: Path,
    labels: Path,
    workspace: Workspace | None = None,
    *,
    train_share: float = TRAIN_SHARE,
    held_out: bool = False,
    autoencoder: bool = False,
) -> Evaluation:
    """Evaluate ``detector`` on the telemetry at ``data`` against the truth in ``labels``, beside every baseline.

    ``train_share``: what baselines learn from where no workspace has training windows. ``held_out``: judge only what
    shares no time with training windows of the workspace.

    Raises:
        NotFound: a file is not there.
        InputError: files break the contract, labels share no device or no time with the data, or nothing is left to judge.
    """
    scope = settle(detector, data, labels, workspace, train_share, held_out)
    return judge_scope(scope, detector, workspace, autoencoder=autoencoder)


def judge_scope(
    scope: Scope,
    detector: Detector,
    workspace: Workspace | None,
    *,
    autoencoder: bool = False,
    others: Sequence[Method] = (),
) -> Evaluation:
    """Evaluate ``detector`` on the windows of ``scope`` that are to be judged, beside ``others`` and every baseline."""
    seed = workspace.settings.seed if workspace else SEED
    buffer_steps = workspace.settings.evaluation.buffer_steps if workspace else BUFFER_STEPS
    windows, truth = part_of(scope.windows, scope.rows), scope.truth
    said = listen(detector, windows.codes, windows.profiles)
    methods = list(compare(detector, windows, said, scope.lesson, seed, autoencoder=autoencoder))
    methods[1:1] = others
    if workspace and (method := boosted(workspace, detector, windows, scope.lesson, seed)):
        methods.append(method)
    truths = _truths(windows, truth, detector, scope.interval_s)
    labelled = [task for task in detector.classes if len(truth.of(task))]
    wanted = {task: window_classes(windows.index, truth.of(task), detector.classes[task]) for task in labelled}
    numbers = {
        task: true_numbers(windows.index, truth.of(task), number.range, scope.interval_s)
        for task, number in detector.numbers.items()
        if len(truth.of(task))
    }
    results = [_on_devices(m, detector, truths, windows, wanted, numbers, buffer_steps) for m in methods]
    return Evaluation(
        detector=detector,
        interval_s=scope.interval_s,
        buffer_steps=buffer_steps,
        seed=seed,
        methods=tuple(_summed(m, devices, results[0], detector, seed) for m, devices in zip(methods, results, strict=True)),
        tasks=tuple(_classes(task, results[0], detector.classes[task]) for task in wanted),
        profiles=_by_profile(results[0], methods[0], detector, seed),
        windows=windows,
        said=said,
        truths=tuple(truths),
        notes=(*scope.notes, *_absent(detector, truths, wanted, numbers)),
    )


def _truths(windows: Windows, truth: Truth, detector: Detector, interval_s: float) -> list[DeviceTruth]:
    """Of each device in order; windows are ordered by device and time."""
    anomalies = truth.of(detector.anomaly)
    segments = dict(tuple(anomalies.groupby("device_id")))
    return [
        device_truth(index, segments.get(str(device), anomalies.iloc[:0]), detector.channels, interval_s, detector.core)
        for device, index in windows.index.groupby("device_id", sort=True)
    ]


def _on_devices(
    method: Method,
    detector: Detector,
    truths: list[DeviceTruth],
    windows: Windows,
    wanted: dict[str, NDArray[np.int8]],
    numbers: dict[str, NDArray[np.float64]],
    buffer_steps: int,
) -> list[OnDevice]:
    found = []
    for truth in truths:
        rows = truth.index.index.to_numpy()
        scores = None if method.scores is None else method.scores[rows]
        alarm = None
        if scores is not None and method.threshold is not None:
            alarm = standing(scores >= method.threshold, detector.raise_after, detector.clear_after)
        causes = method.name == MODEL and any(event.causes for event in truth.events)
        blame = step_blame(truth.placed, detector.score(windows.codes[rows], windows.profiles[rows]).residual) if causes else None
        tables = {
            task: _table(true[rows], method.classes[task][rows], len(detector.classes[task]))
            for task, true in wanted.items()
            if task in method.classes
        }
        errors = {task: method.values[task][rows] - true[rows] for task, true in numbers.items() if task in method.values}
        known = {task: error[~np.isnan(error)] for task, error in errors.items()}
        found.append(on_device(truth, scores, alarm, buffer_steps, blame, tables, known))
    return found


def _table(wanted: NDArray[np.int8], got: NDArray[np.int8], k: int) -> NDArray[np.int64]:
    return np.bincount(wanted.astype(np.int64) * k + got, minlength=k * k).reshape(k, k).astype(np.int64)


def _summed(method: Method, devices: list[OnDevice], ours: list[OnDevice], detector: Detector, seed: int) -> Judged:
    metrics = _measures(method, devices, detector, seed)
    lead = None if method.name == MODEL or method.scores is None else difference(ours, devices, seed)
    return Judged(method.name, method.threshold, metrics, lead, tuple(devices))


def _classes(task: str, devices: list[OnDevice], names: tuple[str, ...]) -> TaskClasses:
    table = np.sum([d.confusion[task] for d in devices], axis=0)
    return TaskClasses(task, tuple(class_measures(table, names)), table)


def _measures(method: Method, devices: list[OnDevice], detector: Detector, seed: int) -> dict[str, Measure]:
    found = summarise(devices, method.scores is not None, method.threshold is not None, seed)
    return found | summarise_numbers(devices, {task: number.unit for task, number in detector.numbers.items()}, seed)


def _by_profile(devices: list[OnDevice], method: Method, detector: Detector, seed: int) -> dict[str, dict[str, Measure]]:
    names = sorted({d.profile for d in devices})
    of = {name: [d for d in devices if d.profile == name] for name in names}
    return {n or "unknown": _measures(method, of[n], detector, seed) for n in names}


def _absent(
    detector: Detector,
    truths: list[DeviceTruth],
    wanted: dict[str, NDArray[np.int8]],
    numbers: dict[str, NDArray[np.float64]],
) -> list[str]:
    """Why a metric that one may look for is not there."""
    notes = []
    if detector.anomaly and not any(t.events for t in truths):
        notes.append("no judged window is labelled anomalous: VUS-PR, AUC-PR, event recall and F1 cannot be said")
    elif detector.anomaly and all(t.steps[t.covered].all() for t in truths if t.events):
        notes.append("every device with an anomaly is anomalous throughout: VUS-PR and AUC-PR cannot be said")
    notes += [f"no label of task {task}: its macro-F1 cannot be said" for task in detector.classes if task not in wanted]
    missing = [task for task in detector.numbers if task not in numbers or np.isnan(numbers[task]).all()]
    return [*notes, *(f"no value of task {task} at the end of a window: its error cannot be said" for task in missing)]
