"""Judge a model on telemetry with labels: where a reader starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.features.segments import touching
from components.training.evaluation import window_classes
from components.training.judging.detector import Detector, Said, listen, standing
from components.training.judging.device import DeviceTruth, OnDevice, device_truth, on_device, step_blame
from components.training.judging.labels import Truth, read_labels
from components.training.judging.methods import MODEL, Lesson, Method, boosted, compare, first_windows, part_of, workspace_lesson
from components.training.judging.summary import ClassMeasure, Measure, class_measures, difference, summarise
from components.training.judging.telemetry import read_windows
from components.values import Windows
from components.workspace.errors import InputError

if TYPE_CHECKING:
    from components.workspace import Workspace

TRAIN_SHARE = 0.3
BUFFER_STEPS = 24
SEED = 7


@dataclass(frozen=True)
class Judged:
    """A method with its metrics over all devices and on each; ``lead``: the model's VUS-PR less this method's."""

    name: str
    threshold: float | None
    metrics: dict[str, Measure]
    lead: Measure | None
    devices: tuple[OnDevice, ...]


@dataclass(frozen=True)
class TaskClasses:
    """The model's classes of one task: measures of each, and (classes, classes) windows with true classes down."""

    task: str
    classes: tuple[ClassMeasure, ...]
    confusion: NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """Everything that a page, a table or a program wants to know; ``methods`` has the model first.

    ``windows``, ``said``, ``truths``: what was judged, for drawings. ``profiles``: hardware profile -> the model's metrics.
    """

    detector: Detector
    interval_s: float
    buffer_steps: int
    seed: int
    methods: tuple[Judged, ...]
    tasks: tuple[TaskClasses, ...]
    profiles: dict[str, dict[str, Measure]]
    windows: Windows
    said: Said
    truths: tuple[DeviceTruth, ...]
    notes: tuple[str, ...]

    @property
    def model(self) -> Judged:
        return self.methods[0]

    def to_json(self) -> dict[str, Any]:
        """The evaluation without windows and scores; a metric that nothing can be said of is absent."""
        index = self.windows.index
        return {
            "model": {"name": self.detector.name, "kind": self.detector.kind, "threshold": self.model.threshold},
            "data": {
                "devices": len(self.truths),
                "windows": len(self.windows),
                "device_days": sum(t.days for t in self.truths),
                "events": sum(len(t.events) for t in self.truths),
                "from": index["start"].min().isoformat(),
                "to": index["end"].max().isoformat(),
            },
            "protocol": {"buffer_steps": self.buffer_steps, "interval_s": self.interval_s, "seed": self.seed},
            "notes": list(self.notes),
            "methods": [
                {
                    "method": m.name,
                    "threshold": m.threshold,
                    "metrics": {name: asdict(measure) for name, measure in m.metrics.items()},
                    "model_leads_vus_pr_by": asdict(m.lead) if m.lead else None,
                }
                for m in self.methods
            ],
            "classes": [
                {"task": t.task, "classes": [asdict(c) for c in t.classes], "confusion": t.confusion.tolist()} for t in self.tasks
            ],
            "profiles": {name: {k: asdict(m) for k, m in found.items()} for name, found in self.profiles.items()},
            "devices": [device_json(d) for d in self.model.devices],
        }


def device_json(device: OnDevice) -> dict[str, Any]:
    """The model on one device; areas are None where the device has no anomaly."""
    vus, auc = device.areas or (None, None)
    counts = {name: getattr(device, name) for name in ("windows", "days", "events", "found", "alarms", "right")}
    return {"device_id": device.device, "hardware_profile": device.profile, "vus_pr": vus, "auc_pr": auc, **counts}


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
    windows, contract = read_windows(detector, data, workspace)
    truth = read_labels(labels, detector, contract.telemetry)
    lesson = workspace_lesson(workspace, detector) if workspace else None
    left = np.ones(len(windows), bool)
    if lesson is None:
        lesson, left = first_windows(windows, train_share)
    judged, notes = _judged(windows, truth, labels)
    seen = _seen(windows, lesson, held_out)
    rows = np.flatnonzero(left & judged & ~(seen & held_out))
    if not len(rows):
        raise InputError("no labelled window is left to judge", hint="bring other telemetry, or a smaller --train-share")
    notes = [*contract.notes, *truth.notes, *notes, f"baselines learned from {lesson.source}"]
    if again := int(seen[rows].sum()):
        notes.append(f"{again:,} of {len(rows):,} judged windows were trained on, which flatters the model; see --held-out")
    part = part_of(windows, rows)
    seed = workspace.settings.seed if workspace else SEED
    buffer_steps = workspace.settings.evaluation.buffer_steps if workspace else BUFFER_STEPS
    said = listen(detector, part.codes)
    methods = list(compare(detector, windows, rows, said, lesson, seed, autoencoder=autoencoder))
    if workspace and (method := boosted(workspace, detector, windows, rows, lesson, seed)):
        methods.append(method)
    truths = _truths(part, truth, detector, contract.telemetry.interval_s)
    labelled = [task for task in detector.classes if len(truth.of(task))]
    wanted = {task: window_classes(part.index, truth.of(task), detector.classes[task]) for task in labelled}
    results = [(m, _on_devices(m, detector, truths, part, wanted, buffer_steps)) for m in methods]
    ours = results[0][1]
    return Evaluation(
        detector=detector,
        interval_s=contract.telemetry.interval_s,
        buffer_steps=buffer_steps,
        seed=seed,
        methods=tuple(_summed(m, devices, ours, seed) for m, devices in results),
        tasks=tuple(_classes(task, ours, detector.classes[task]) for task in wanted),
        profiles=_by_profile(ours, methods[0], seed),
        windows=part,
        said=said,
        truths=tuple(truths),
        notes=(*notes, *_absent(detector, truths, wanted)),
    )


def _judged(windows: Windows, truth: Truth, file: Path) -> tuple[NDArray[np.bool_], list[str]]:
    """(windows,) whether labels say anything of a window, and what they leave out."""
    devices = set(windows.index["device_id"])
    named = set(truth.segments["device_id"] if truth.judged is None else truth.judged["device_id"])
    if named and not named & devices:
        examples = [", ".join(sorted(names)[:3]) for names in (named, devices)]
        raise InputError(
            f"{file}: no device of the data: the labels name {examples[0]}, the data {examples[1]}",
            hint="give labels of these devices",
        )
    spans = truth.segments if truth.judged is None else truth.judged
    mine = spans[spans["device_id"].isin(devices)]
    first, last = windows.index["start"].min(), windows.index["end"].max()
    if len(mine) and not ((mine["start"] < last) & (mine["end"] > first)).any():
        raise InputError(
            f"{file}: labels from {mine['start'].min()} to {mine['end'].max()}, telemetry from {first} to {last}",
            hint="give labels of the same time; check the time column and its epoch",
        )
    unlabelled = len(devices - named)
    left_out = f"{unlabelled:,} of {len(devices):,} devices have no "
    if truth.judged is None:
        notes = [left_out + "segment: all their time counts as normal"] if unlabelled else []
        return np.ones(len(windows), bool), notes
    spans = mine.set_index("device_id")
    begin, end = (windows.index["device_id"].map(spans[name]) for name in ("start", "end"))
    inside = np.asarray((windows.index["start"] >= begin) & (windows.index["end"] <= end))
    return inside, [left_out + "label and were left out"] if unlabelled else []


def _seen(windows: Windows, lesson: Lesson, wanted: bool) -> NDArray[np.bool_]:
    """(windows,) whether a window shares time with one that the model may have been trained on."""
    if lesson.seen is not None:
        return touching(windows.index, lesson.seen)
    if wanted:
        raise InputError("what is held out is not known", hint="name a --workspace with out/features")
    return np.zeros(len(windows), bool)


def _truths(windows: Windows, truth: Truth, detector: Detector, interval_s: float) -> list[DeviceTruth]:
    """Of each device in order; windows are ordered by device and time."""
    anomalies = truth.of(detector.anomaly)
    segments = dict(tuple(anomalies.groupby("device_id")))
    return [
        device_truth(index, segments.get(str(device), anomalies.iloc[:0]), detector.channels, interval_s)
        for device, index in windows.index.groupby("device_id", sort=True)
    ]


def _on_devices(
    method: Method,
    detector: Detector,
    truths: list[DeviceTruth],
    windows: Windows,
    wanted: dict[str, NDArray[np.int8]],
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
        blame = step_blame(truth.index, detector.score(windows.codes[rows]).residual, truth.interval_s) if causes else None
        tables = {
            task: _table(true[rows], method.classes[task][rows], len(detector.classes[task]))
            for task, true in wanted.items()
            if task in method.classes
        }
        found.append(on_device(truth, scores, alarm, buffer_steps, blame, tables))
    return found


def _table(wanted: NDArray[np.int8], got: NDArray[np.int8], k: int) -> NDArray[np.int64]:
    return np.bincount(wanted.astype(np.int64) * k + got, minlength=k * k).reshape(k, k).astype(np.int64)


def _summed(method: Method, devices: list[OnDevice], ours: list[OnDevice], seed: int) -> Judged:
    metrics = summarise(devices, method.scores is not None, method.threshold is not None, seed)
    lead = None if method.name == MODEL or method.scores is None else difference(ours, devices, seed)
    return Judged(method.name, method.threshold, metrics, lead, tuple(devices))


def _classes(task: str, devices: list[OnDevice], names: tuple[str, ...]) -> TaskClasses:
    table = np.sum([d.confusion[task] for d in devices], axis=0)
    return TaskClasses(task, tuple(class_measures(table, names)), table)


def _by_profile(devices: list[OnDevice], method: Method, seed: int) -> dict[str, dict[str, Measure]]:
    names = sorted({d.profile for d in devices})
    of = {name: [d for d in devices if d.profile == name] for name in names}
    return {n or "unknown": summarise(of[n], method.scores is not None, method.threshold is not None, seed) for n in names}


def _absent(detector: Detector, truths: list[DeviceTruth], wanted: dict[str, NDArray[np.int8]]) -> list[str]:
    """Why a metric that one may look for is not there."""
    notes = []
    if detector.anomaly and not any(t.events for t in truths):
        notes.append("no judged window is labelled anomalous: VUS-PR, AUC-PR, event recall and F1 cannot be said")
    elif detector.anomaly and all(t.steps.all() for t in truths if t.events):
        notes.append("every device with an anomaly is anomalous throughout: VUS-PR and AUC-PR cannot be said")
    notes += [f"no label of task {task}: its macro-F1 cannot be said" for task in detector.classes if task not in wanted]
    return notes
