"""The report of a training run: a pure function of the model and its windows, the same bytes for the same input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.features.segments import touching
from components.training.evaluation import window_classes
from components.training.judging.detector import Detector, listen
from components.training.judging.judge import judge_scope
from components.training.judging.labels import Truth, read_labels
from components.training.judging.methods import Lesson, Method, lesson_of
from components.training.judging.result import Evaluation
from components.training.judging.scope import Scope
from components.training.reporting.reliability import Rate, Reliability, achieved, class_reliability, thresholds
from components.training.shaping.reach import networks_in_integers
from components.values import ElectraModel, LabelSet, Targets, TrainedModel, Windows
from components.values.curves import Point
from components.values.networks import MadeNetwork
from components.workspace.files import write_json, write_text

if TYPE_CHECKING:
    import pandas as pd

    from components.workspace import Workspace

REPORT, PAGE = "report.json", "report.html"
FORMAT = 1
"""Of `report.json`; rises when a reader of older reports would not find what it needs."""


@dataclass(frozen=True)
class Report:
    """``evaluation``: on what is held out, None where nothing is; ``judged``: there is a truth to judge by.

    ``own``: false alarms that the model's threshold states and achieves, ``rates``: the same at others; ``stated_a_day``: false
    alarms of a device. ``networks``: the trained one and those that were made out of it.
    """

    name: str
    curves: tuple[Point, ...]
    evaluation: Evaluation | None
    judged: bool
    own: Rate | None
    rates: tuple[Rate, ...]
    stated_a_day: float
    reliability: tuple[Reliability, ...]
    networks: tuple[MadeNetwork, ...] = ()


def write_report(
    folder: Path,
    workspace: Workspace,
    windows: Windows,
    labels: list[LabelSet],
    statistics: pd.DataFrame,
    detector: Detector,
    curves: tuple[Point, ...],
    targets: Sequence[Targets] = (),
    networks: Sequence[MadeNetwork] = (),
    model: TrainedModel | None = None,
) -> Report:
    """Write `report.json` and `report.html`; parts that need a truth are in them where the workspace declares one.

    Raises:
        InputError: the truth cannot be read, or says nothing of the model's tasks or channels.
    """
    from components.training.reporting.page import report_page

    report = training_report(workspace, windows, labels, statistics, detector, curves, targets, model)
    report = replace(report, networks=tuple(networks))
    write_json(folder / REPORT, _as_json(report))
    write_text(folder / PAGE, report_page(report))
    return report


def training_report(
    workspace: Workspace,
    windows: Windows,
    labels: list[LabelSet],
    statistics: pd.DataFrame,
    detector: Detector,
    curves: tuple[Point, ...],
    targets: Sequence[Targets] = (),
    model: TrainedModel | None = None,
) -> Report:
    """``model``: where it is a network, it is also judged in the integers of devices, as are those made out of it."""
    settings = workspace.settings
    lesson = lesson_of(windows, labels, tuple(targets), statistics if labels or targets else None)
    rows = np.flatnonzero(windows.test)
    stated = settings.model.false_alarms_per_day
    file = settings.evaluation.truth
    if not len(rows):
        return Report(detector.name, curves, None, False, None, (), stated, ())
    truth = read_labels(workspace.path(file), detector, settings.telemetry) if file else _nothing_known()
    scope = Scope(windows, rows, truth, lesson, settings.telemetry.interval_s, truth.notes)
    others = _in_integers(windows, rows, model)
    evaluation = judge_scope(scope, detector, workspace, autoencoder=True, others=others)
    own, rates = _rates(evaluation, truth, lesson) if detector.anomaly else (None, ())
    reliability = _reliability(evaluation, truth) if file else ()
    return Report(detector.name, curves, evaluation, file is not None, own, rates, stated, reliability)


def _in_integers(windows: Windows, rows: NDArray[np.int64], model: TrainedModel | None) -> list[Method]:
    if not isinstance(model, ElectraModel):
        return []
    return [method for method, mine in networks_in_integers(windows, rows, model) if len(mine) == len(rows)]


def _rates(evaluation: Evaluation, truth: Truth, lesson: Lesson) -> tuple[Rate | None, tuple[Rate, ...]]:
    """At the model's own threshold and at others, on held-out windows that touch no anomaly that is known."""
    detector, index = evaluation.detector, evaluation.windows.index
    calm = ~touching(index, truth.of(detector.anomaly))
    if not calm.any():
        return None, ()
    scores, devices = evaluation.said.score[calm], _devices(index[calm])
    calibration = listen(detector, lesson.codes[lesson.calibration], lesson.profiles[lesson.calibration]).score
    own = None
    if detector.threshold is not None:
        own = achieved(detector.false_alarm_share, detector.threshold, scores, devices, evaluation.seed)
    asked = thresholds(calibration)
    return own, tuple(achieved(stated, at, scores, devices, evaluation.seed) for stated, at in asked)


def _reliability(evaluation: Evaluation, truth: Truth) -> tuple[Reliability, ...]:
    index, devices = evaluation.windows.index, _devices(evaluation.windows.index)
    return tuple(
        class_reliability(
            task.task,
            evaluation.said.probabilities[task.task],
            window_classes(index, truth.of(task.task), evaluation.detector.classes[task.task]),
            devices,
            evaluation.seed,
        )
        for task in evaluation.tasks
    )


def _devices(index: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(windows,) a number for each device."""
    return np.unique(index["device_id"].to_numpy(str), return_inverse=True)[1].astype(np.int64)


def _nothing_known() -> Truth:
    import pandas as pd

    times = pd.Series([], dtype="datetime64[us, UTC]")
    text = pd.Series([], dtype="str")
    columns = {"device_id": text, "start": times, "end": times, "task": text, "value": text, "root_cause": text}
    return Truth(pd.DataFrame(columns), None, ())


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": report.name,
        "judged": report.judged,
        "evaluation": report.evaluation.to_json() if report.evaluation and report.judged else None,
        "false_alarms": {"own": report.own and asdict(report.own), "others": [asdict(rate) for rate in report.rates]},
        "classes": [asdict(task) for task in report.reliability],
        "networks": [asdict(network) for network in report.networks],
        "figures": _figures(report),
    }


def _figures(report: Report) -> dict[str, float]:
    """Flat names -> numbers for a model registry: `report/<method>/<metric>`, with `/low` and `/high` where known."""
    named = {}
    if report.evaluation and report.judged:
        named = {f"{m.name}/{name}": measure for m in report.evaluation.methods for name, measure in m.metrics.items()}
    figures: dict[str, float] = {}
    if report.own:
        named["false_alarm_share/achieved"] = report.own.achieved
        figures["report/false_alarm_share/stated"] = report.own.stated
    for name, measure in named.items():
        found = (("", measure.value), ("/low", measure.low), ("/high", measure.high))
        figures |= {f"report/{name}{end}": value for end, value in found if value is not None}
    return figures | {f"report/{task.task}/calibration_error": task.error for task in report.reliability}
