"""The report of the label step: a pure function of windows and labels, the same bytes for the same input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.features.records import read_records
from components.labeling.people.active import select_windows, worth
from components.labeling.people.excerpt import as_svg, excerpt
from components.labeling.report.against import against_gold, surprises
from components.labeling.report.firing import firing_file, firing_table, variants
from components.labeling.report.measures import measure
from components.labeling.report.numbers import measure_numbers
from components.labeling.report.page import report_page
from components.values import Windows
from components.values.labels import ABSTAIN
from components.workspace.errors import InputError, MusterError, NotFound
from components.workspace.files import write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.values import LabelSet, Targets
    from components.workspace import Workspace

REPORT, PAGE = "report.json", "report.html"
FORMAT = 4
"""Of `report.json`; rises when a reader of older reports would not find what it needs."""

_HARDEST = 20
_DRAWN = 8


def write_report(
    folder: Path, workspace: Workspace, windows: Windows, labels: list[LabelSet], targets: Sequence[Targets] = ()
) -> dict[str, Any]:
    """Write `report.json`, `report.html` and `firing/<task>.parquet`, and return the first.

    ``tasks``: one entry a label set: shares of windows, functions, what the label model believes, what people say,
    variants, warnings, and the windows most worth labelling (docs/labels-report.md). ``numbers``: one entry a regression.
    """
    tasks = [_task(folder, workspace, windows, one) for one in labels]
    report = {"format": FORMAT, "workspace": workspace.settings.name, "windows": len(windows), "tasks": tasks}
    report["numbers"] = [measure_numbers(target) for target in targets]
    drawings = {task["task"]: _drawings(workspace, windows, task) for task in tasks}
    write_json(folder / REPORT, report)
    write_text(folder / PAGE, report_page(report, drawings))
    return report


def read_report(folder: Path, task: str | None = None) -> dict[str, Any]:
    """The report that the label step left in ``folder``, of all tasks or of one.

    Raises:
        NotFound: the step did not run yet, or there is no such task.
        InputError: the file is damaged.
    """
    file = folder / REPORT
    if not file.is_file():
        raise NotFound(f"no labels in {folder}", hint="muster step label, or muster run, makes them")
    try:
        report = dict(json.loads(file.read_text()))
    except ValueError as error:
        raise InputError(f"{file} is damaged: {error}", hint="muster step label puts it back") from None
    if report.get("format") != FORMAT:
        raise InputError(f"{file} was written by another version of Muster", hint="muster step label writes it anew")
    if task is None:
        return report
    chosen = [t for t in report["tasks"] if t["task"] == task]
    numbers = [n for n in report["numbers"] if n["task"] == task]
    if not chosen and not numbers:
        known = [t["task"] for t in (*report["tasks"], *report["numbers"])]
        hint = f"tasks with labels: {', '.join(known) or 'none'}"
        raise NotFound(f"no labels of a task '{task}' in {folder}", hint=hint)
    return report | {"tasks": chosen, "numbers": numbers}


def export_page(workspace: Workspace, report: dict[str, Any], target: Path) -> None:
    """Write ``report``, which may hold more than the label step knows (``change``), as one HTML file.

    Raises:
        InputError: the windows are no longer those of the report, or ``target`` cannot be written.
    """
    windows = Windows.load(workspace.out / "features")
    if len(windows) != report["windows"]:
        raise InputError("the windows are newer than the labels", hint="muster step label makes labels of the present windows")
    drawings = {task["task"]: _drawings(workspace, windows, task) for task in report["tasks"]}
    try:
        write_text(target, report_page(report, drawings))
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}", hint="name a file in a folder of yours") from None


def _task(folder: Path, workspace: Workspace, windows: Windows, labels: LabelSet) -> dict[str, Any]:
    task, facts = measure(labels), dict(labels.facts)
    table = firing_table(labels, windows)
    firing_file(folder, labels.task).parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(firing_file(folder, labels.task), index=False)
    estimated = {f["name"]: f for f in facts.get("functions", ())}
    for function in task["functions"]:
        believed = estimated.get(function["name"], {})
        function |= {key: believed.get(key) for key in ("weight", "precision", "recall")}
        function["declared"] = believed.get("votes") or []
    gold = against_gold(labels)
    for fault in facts.get("faults", ()):
        task["warnings"].append(
            f"{fault['function']} failed on {fault['windows']:,} windows and abstains there: {fault['message']}"
        )
    for pair in facts.get("pairs", ()):
        seen, chance = pair["agreement"], pair["expected"]
        task["warnings"].append(f"{pair['first']} and {pair['second']} agree more than they should: {seen:.0%}, not {chance:.0%}")
    task["warnings"] += _strangers(workspace, windows) if labels.source == "weak" else []
    task["warnings"] += [*(surprises(estimated, gold) if gold else ()), *facts.get("notes", ())]
    model = {key: facts.get(key) for key in ("version", "chosen", "class_shares", "shares_from", "candidates")}
    extra = {"model": model, "pairs": facts.get("pairs", []), "faults": facts.get("faults", []), "gold": gold}
    return task | extra | {"variants": variants(table), "hardest": _hardest(workspace, windows, labels)}


def _strangers(workspace: Workspace, windows: Windows) -> list[str]:
    """Records of devices none of which is in the telemetry: every function that asks for them finds nothing."""
    found, known = [], set(windows.index["device_id"])
    for name, file in workspace.settings.records.items():
        try:
            devices = read_records(workspace.path(file)).devices
        except MusterError:  # a file that no function reads may be missing or damaged; one that reads it has said so
            continue
        if len(devices) and known.isdisjoint(devices):
            found.append(f"records '{name}' ({file}) name no device of the telemetry: '{devices[0]}' and others are unknown")
    return found


def _hardest(workspace: Workspace, windows: Windows, labels: LabelSet) -> list[dict[str, Any]]:
    """The windows most worth labelling: where they are, what the labels say and who votes what."""
    chosen = select_windows(labels, windows, _HARDEST, seed=workspace.settings.seed, without=labels.gold != ABSTAIN)
    value = worth(labels)
    found = []
    for position in chosen.tolist():
        row, votes = windows.index.iloc[position], labels.votes[position]
        found.append(
            {
                "position": position,
                "device_id": str(row["device_id"]),
                "start": row["start"].isoformat(),
                "end": row["end"].isoformat(),
                "worth": round(float(value[position]), 6),
                "probabilities": _probabilities(labels, position),
                "votes": {f: labels.classes[v] for f, v in zip(labels.functions, votes, strict=True) if v != ABSTAIN},
            }
        )
    return found


def _probabilities(labels: LabelSet, position: int) -> dict[str, float] | None:
    if not labels.covered[position]:
        return None
    return {c: round(float(p), 6) for c, p in zip(labels.classes, labels.probabilities[position], strict=True)}


def _drawings(workspace: Workspace, windows: Windows, task: dict[str, Any]) -> list[str]:
    """The first of the hardest windows as SVG."""
    return [as_svg(excerpt(workspace, windows, window["position"])) for window in task["hardest"][:_DRAWN]]
