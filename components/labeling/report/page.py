"""The label report as one HTML file and, where it is the same, as rows for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from components.labeling.report.charts import calibration, histogram, intervals
from components.labeling.report.numbers import NUMBER_COLUMNS, number_rows
from components.validation.page import page, paragraph, table

FUNCTION_COLUMNS = ("function", "votes for", "fires", "overlaps", "contradicted", "alone", "upheld")
RIGHT_COLUMNS = ("function", "class", "precision, believed", "precision, people", "recall, believed", "recall, people")
CHANGE_COLUMNS = ("function", "among", "devices", "before", "now", "adjusted p")

Task = dict[str, Any]


def report_page(report: dict[str, Any], drawings: Mapping[str, Sequence[str]]) -> str:
    """``drawings``: task -> SVG of the first windows under ``hardest``. A task with ``change`` shows that too."""
    sections = [part for task in report["tasks"] for part in _task(task, drawings[task["task"]])]
    if report["numbers"]:
        sections.append(table("Declared numbers", NUMBER_COLUMNS, number_rows(report)))
    return page(f"Labels of {report['workspace']}", *(sections or [paragraph("No task of this workspace wants labels.")]))


def function_rows(task: Task) -> list[tuple[object, ...]]:
    """One row a function under `FUNCTION_COLUMNS`, shares as numbers."""
    keys = ("firing_rate", "overlap", "conflict", "alone")
    return [
        (
            f["name"],
            ", ".join(f["votes"] or f["declared"]) or "nothing",
            *(f[k] for k in keys),
            "" if f["agreement"] is None else f["agreement"],
        )
        for f in task["functions"]
    ]


def right_rows(task: Task) -> list[tuple[str, ...]]:
    """One row a function and class under `RIGHT_COLUMNS`: what the label model believes beside what people say.

    None at all when neither says anything.
    """
    rows = [
        (name, label, *(_interval(i) for i in (believed["precision"], said["precision"], believed["recall"], said["recall"])))
        for name, label, believed, said in _rights(task)
    ]
    return rows if any(any(row[2:]) for row in rows) else []


def model_rows(task: Task) -> list[tuple[str, str]]:
    """Where the probabilities come from."""
    model = task["model"]
    known = model.get("class_shares") or {}
    shares = ", ".join(f"{name} {known[name]:.1%}" for name in task["classes"] if name in known)
    rows = [("label model", model.get("chosen")), ("version", str(model.get("version") or "")[:12])]
    rows += [("class shares", shares), ("class shares are", model.get("shares_from"))]
    for candidate in model.get("candidates") or ():
        found = candidate.get("average_precision")
        rows.append((f"average precision of {candidate['name']}", "unknown" if found is None else f"{found:.3f}"))
    return [(name, str(value)) for name, value in rows if value]


def class_rows(task: Task) -> list[tuple[str, float]]:
    """Mean probability of each class, in the order of the task."""
    return [(name, task["class_shares"][name]) for name in task["classes"]]


def people_rows(task: Task) -> list[tuple[str, str]]:
    """Class and its share of what people answered, with its interval; none when nobody did."""
    return [(name, _interval(share)) for name, share in (task["gold"] or {}).get("class_shares", {}).items()]


def people_title(task: Task) -> str:
    """Which answers `people_rows` and calibration are read from."""
    gold = task["gold"]
    if gold["fair"]:
        return f"Class shares by people (the {gold['drawn']:,} answers on windows drawn at random)"
    return f"Class shares by people (all answers, no fair sample: {gold['drawn']:,} are on windows drawn at random)"


def change_rows(changes: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The flagged changes under `CHANGE_COLUMNS`."""
    return [
        (c["function"], c["group"], f"{c['devices']:,}", f"{c['before']:.2%}", f"{c['after']:.2%}", f"{c['adjusted']:.2g}")
        for c in changes
        if c["flagged"]
    ]


def hard_rows(task: Task) -> list[tuple[str, ...]]:
    """The windows most worth labelling: device, start, worth, votes."""
    return [
        (w["device_id"], w["start"], f"{w['worth']:.2f}", ", ".join(f"{f}: {c}" for f, c in w["votes"].items()) or "nobody")
        for w in task["hardest"]
    ]


def _task(task: Task, drawings: Sequence[str]) -> list[str]:
    shares = [(k, task[k]) for k in ("coverage", "overlap", "conflict")]
    parts = [table(f"Task {task['task']} ({task['source']})", ("quantity", "share of windows"), shares)]
    parts += [paragraph(f"Look at this: {warning}.") for warning in task["warnings"]]
    parts.append(table("Where the probabilities come from", ("what", "value"), model_rows(task)))
    parts.append(table("Mean probability of each class", ("class", "share"), class_rows(task)))
    if people := people_rows(task):
        parts.append(table(people_title(task), ("class", "share"), people))
    parts.append(_distributions(task))
    if task["functions"]:
        parts.append(table("Labelling functions", FUNCTION_COLUMNS, function_rows(task)))
        parts += _right(task)
        parts.append(_variants(task))
    if change := task.get("change"):
        title = f"Functions that fire otherwise than in the labels of {change['since']}"
        parts.append(table(title, CHANGE_COLUMNS, change_rows(change["changes"])))
    parts += _calibration(task) + _hardest(task, drawings)
    return parts


def _rights(task: Task) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """(function, class, believed, people's), each with an interval or None under ``precision`` and ``recall``."""
    measured = (task["gold"] or {}).get("functions", {})
    rows = []
    for f in task["functions"]:
        said = measured.get(f["name"], {})
        for label in f["votes"]:
            both = ({kind: (source.get(kind) or {}).get(label) for kind in ("precision", "recall")} for source in (f, said))
            believed, people = both
            rows.append((f["name"], label, believed, people))
    return rows


def _right(task: Task) -> list[str]:
    if not (shown := right_rows(task)):
        return []
    rows, parts = _rights(task), [table("How often they are right", RIGHT_COLUMNS, shown)]
    for kind in ("precision", "recall"):
        drawn = [(f"{name}: {label}", believed[kind], said[kind]) for name, label, believed, said in rows]
        parts.append(f"<h3>{kind.title()}</h3>{intervals(kind, drawn)}")
    parts.append(paragraph("Filled: what the label model believes. Rings: what people say. Lines: 95 % intervals."))
    return parts


def _distributions(task: Task) -> str:
    plots = [histogram(f"probability of {c}", task["distribution"]["probability"][c]) for c in task["classes"]]
    plots.append(histogram("entropy (0 sure, 1 clueless)", task["distribution"]["entropy"]))
    return f"<h2>Distribution over labelled windows</h2>\n{' '.join(plots)}"


def _variants(task: Task) -> str:
    names = [f["name"] for f in task["functions"]]
    columns = ("hardware profile", "firmware", "devices", "windows", *names)
    rows = [
        (v["hardware_profile"], v["firmware_version"], v["devices"], v["windows"], *map(float, v["rates"]))
        for v in task["variants"]
    ]
    return table("Firing rate by hardware profile and firmware version", columns, rows)


def _calibration(task: Task) -> list[str]:
    found = (task["gold"] or {}).get("calibration")
    if not found:
        return []
    which = "drawn at random" if found["fair"] else "annotated"
    text = (
        f"On {found['windows']:,} windows {which} the confidence of the labels and the share in which people agree differ by "
        f"{found['error']:.1%} on average."
    )
    if not found["fair"]:
        text += " Windows that were chosen because they are hard make this look worse than it is."
    return [f"<h2>Calibration against people</h2>\n{calibration(found['bins'])}", paragraph(text)]


def _hardest(task: Task, drawings: Sequence[str]) -> list[str]:
    parts = [table("Windows most worth labelling", ("device", "start", "worth", "votes"), hard_rows(task))]
    for row, drawing in zip(hard_rows(task), drawings, strict=False):
        parts.append(f"<h3>{escape(row[0])}, {escape(row[1])}</h3><p>{escape(row[3])}</p>\n{drawing}")
    return parts


def _interval(interval: Sequence[float] | None) -> str:
    if not interval:
        return ""
    estimate, low, high, *trials = interval
    return f"{estimate:.2f} ({low:.2f} to {high:.2f}" + (f", {trials[0]:.0f} windows)" if trials else ")")
