"""The evaluation as rows for a terminal and as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.labeling.report.charts import intervals
from components.training.judging.drawing import drawings
from components.training.judging.methods import MODEL
from components.training.judging.result import Evaluation, Judged, device_json
from components.training.judging.summary import Measure
from components.training.judging.summary_numbers import NUMBER_METRICS
from components.validation.page import page, paragraph, table

METHOD_COLUMNS = (
    "method",
    "VUS-PR",
    "AUC-PR",
    "event precision",
    "event recall",
    "event F1",
    "alarms a device-day",
    "median delay",
    "hit rate @100 %",
    "hit rate @150 %",
)
_METRICS = ("vus_pr", "auc_pr", "event_precision", "event_recall", "event_f1", "alarms_per_device_day")
_DELAY = "detection_delay_s"
_HITS = ("hit_rate_100", "hit_rate_150")
METRICS = (*_METRICS, _DELAY, *_HITS)
"""Names of the metrics under `METHOD_COLUMNS`, after the method."""
CLASS_COLUMNS = ("task", "class", "precision", "recall", "F1", "windows")
PROFILE_COLUMNS = ("hardware profile", "devices", "VUS-PR", "event precision", "event recall", "alarms a device-day")
NUMBER_COLUMNS = ("task", "unit", "method", "RMSE", "MAE", "RMSE at the end", "PHM08 score at the end")
_DEVICE_COLUMNS = ("device", "hardware profile", "windows", "days", "VUS-PR", "AUC-PR", "events", "found", "alarms", "right")
_MAX_DEVICES = 500
_FOLD = 5


def method_tables(evaluation: Evaluation) -> list[tuple[list[str], list[list[str]]]]:
    """Columns and one row a method, values with their 95 % intervals, blank where nothing can be said."""
    return folded(METHOD_COLUMNS, [_method_row(method) for method in evaluation.methods])


def folded(columns: Sequence[str], rows: Sequence[Sequence[str]], wide: int = _FOLD) -> list[tuple[list[str], list[list[str]]]]:
    """Tables that a terminal holds, each with the first column and ``wide`` others; those blank throughout are left out."""
    shown = [i for i in range(1, len(columns)) if any(row[i] for row in rows)]
    folds = [[0, *shown[i : i + wide]] for i in range(0, max(len(shown), 1), wide)]
    return [([columns[i] for i in fold], [[row[i] for i in fold] for row in rows]) for fold in folds]


def macro_rows(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Task, method and macro-F1 with its interval, of every method that predicts classes."""
    return [
        (name.removesuffix("/macro_f1"), method.name, shown(measure))
        for method in evaluation.methods
        for name, measure in method.metrics.items()
        if name.endswith("/macro_f1")
    ]


def number_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """One row a regression and method under `NUMBER_COLUMNS`, with intervals; the end is each device's last judged window."""
    return [
        (task, number.unit, method.name, *(shown(method.metrics.get(f"{task}/{name}")) for name in NUMBER_METRICS))
        for task, number in evaluation.detector.numbers.items()
        for method in evaluation.methods
        if f"{task}/rmse" in method.metrics
    ]


def class_rows(evaluation: Evaluation) -> list[tuple[object, ...]]:
    """One row a class of the model's tasks under `CLASS_COLUMNS`."""
    return [
        (t.task, c.name, *("" if v is None else round(v, 3) for v in (c.precision, c.recall, c.f1)), c.support)
        for t in evaluation.tasks
        for c in t.classes
    ]


def profile_rows(evaluation: Evaluation) -> list[tuple[object, ...]]:
    """The model on the devices of each hardware profile, under `PROFILE_COLUMNS`."""
    devices = [d.profile or "unknown" for d in evaluation.model.devices]
    names = ("vus_pr", "event_precision", "event_recall", "alarms_per_device_day")
    return [
        (profile, devices.count(profile), *(shown(found.get(name)) for name in names))
        for profile, found in evaluation.profiles.items()
    ]


def evaluation_page(evaluation: Evaluation) -> str:
    """The whole document: methods side by side, classes, profiles, devices, and events drawn."""
    return page(f"Evaluation of {evaluation.detector.name}", *evaluation_sections(evaluation))


def evaluation_sections(evaluation: Evaluation) -> list[str]:
    """The parts of the document, under headings."""
    sections = [
        paragraph(
            f"{scope_line(evaluation)}, {sum(len(t.events) for t in evaluation.truths):,} anomalies. "
            f"Intervals hold 95 % of draws of devices with replacement. VUS buffer {evaluation.buffer_steps} steps."
        ),
        *(paragraph(note) for note in evaluation.notes),
        *(table("Methods", columns, rows) for columns, rows in method_tables(evaluation)),
        *_areas(evaluation),
    ]
    if rows := macro_rows(evaluation):
        sections.append(table("Classes: macro-F1", ("task", "method", "macro-F1"), rows))
        sections.append(table("Classes of the model", CLASS_COLUMNS, class_rows(evaluation)))
        sections += [_confusion(evaluation, place) for place in range(len(evaluation.tasks))]
    if numbers := number_rows(evaluation):
        sections.append(table("Numbers", NUMBER_COLUMNS, numbers))
    sections.append(table("Hardware profiles", PROFILE_COLUMNS, profile_rows(evaluation)))
    sections += drawn(drawings(evaluation))
    return [*sections, *_devices(evaluation)]


def scope_line(evaluation: Evaluation) -> str:
    """What was judged, in one line."""
    facts = evaluation.to_json()["data"]
    return (
        f"{evaluation.detector.kind}: {facts['devices']:,} devices, {facts['windows']:,} windows, "
        f"{facts['device_days']:,.1f} device-days from {facts['from']} to {facts['to']}"
    )


def drawn(titled: list[tuple[str, str]]) -> list[str]:
    """Drawings under their titles."""
    return [part for title, svg in titled for part in (f"<h2>{title}</h2>", svg)]


def shown(measure: Measure | None, unit: str = "") -> str:
    """`0.87 (0.84 to 0.90)`, whole numbers from a hundred on; blank for None."""
    if measure is None:
        return ""
    bounds = f" ({_number(measure.low)} to {_number(measure.high)})" if measure.low is not None else ""
    return f"{_number(measure.value)}{unit}{bounds}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _method_row(method: Judged) -> tuple[str, ...]:
    found = method.metrics
    values = [shown(found.get(name)) for name in _METRICS]
    return (method.name, *values, shown(found.get(_DELAY), " s"), *(shown(found.get(name)) for name in _HITS))


def _areas(evaluation: Evaluation) -> list[str]:
    known = [(m.name, m.metrics["vus_pr"]) for m in evaluation.methods if "vus_pr" in m.metrics]
    if not known:
        return []
    rows = [(name, [m.value if x is None else x for x in (m.value, m.low, m.high)], None) for name, m in known]
    leads = [(m.name, shown(m.lead)) for m in evaluation.methods if m.name != MODEL and m.lead is not None]
    lead = table("VUS-PR of the model less that of the others, on the same devices", ("method", "difference"), leads)
    return ["<h2>VUS-PR with 95 % intervals</h2>", intervals("VUS-PR", rows), lead]


def _confusion(evaluation: Evaluation, place: int) -> str:
    task = evaluation.tasks[place]
    names = [c.name for c in task.classes]
    rows = [(name, *(int(n) for n in counts)) for name, counts in zip(names, task.confusion, strict=True)]
    return table(f"Confusion of {task.task}: true classes down, the model's across", ("true", *names), rows)


def _devices(evaluation: Evaluation) -> list[str]:
    """The worst devices first; a fleet's page stays small enough to open."""
    found = [device_json(d) for d in evaluation.model.devices]
    found.sort(key=lambda d: (d["vus_pr"] is None, d["vus_pr"] or 0.0, d["device_id"]))
    rows = [_device_row(d) for d in found[:_MAX_DEVICES]]
    more = f" ({_MAX_DEVICES} of {len(found):,}, those with the lowest VUS-PR)" if len(found) > _MAX_DEVICES else ""
    return [table(f"Devices{more}", _DEVICE_COLUMNS, rows)]


def _device_row(d: dict[str, Any]) -> tuple[object, ...]:
    areas = ("" if d[name] is None else d[name] for name in ("vus_pr", "auc_pr"))
    counts = (d[name] for name in ("events", "found", "alarms", "right"))
    return d["device_id"], d["hardware_profile"] or "unknown", d["windows"], d["days"], *areas, *counts
