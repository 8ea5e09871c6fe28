"""How to inspect labelling: who votes how often, who overlaps, who contradicts, what came of it. No truth is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.validation.page import page, paragraph, table
from components.values.labels import ABSTAIN
from components.workspace.errors import NotFound
from components.workspace.files import write_json, write_text

if TYPE_CHECKING:
    from components.values import LabelSet, Windows
    from components.workspace import Workspace

REPORT = "report.json"
_COPY = 0.95
_RARE = 1e-4


def write_report(folder: Path, workspace: Workspace, windows: Windows, labels: list[LabelSet]) -> dict[str, Any]:
    """Write `report.json` and `report.html` and return the former.

    ``tasks``: one entry a label set with coverage, overlap and conflict (shares of windows), class shares, one row a
    function, and warnings.
    """
    report = {"workspace": workspace.settings.name, "windows": len(windows), "tasks": [_task(s) for s in labels]}
    write_json(folder / REPORT, report)
    write_text(folder / "report.html", page(f"Labels of {workspace.settings.name}", *_sections(report)))
    return report


def read_report(folder: Path) -> dict[str, Any]:
    """The report that the label step left in ``folder``.

    Raises:
        NotFound: the step did not run yet.
    """
    if not (folder / REPORT).is_file():
        raise NotFound(f"no labels in {folder}", hint="muster step label, or muster run, makes them")
    return dict(json.loads((folder / REPORT).read_text()))


def _task(labels: LabelSet) -> dict[str, Any]:
    spoke = labels.votes != ABSTAIN
    return {
        "task": labels.task,
        "source": labels.source,
        "classes": list(labels.classes),
        "coverage": labels.coverage,
        "overlap": _share(spoke.sum(axis=1) > 1),
        "conflict": _share(_conflicts(labels.votes)),
        "class_shares": dict(zip(labels.classes, _class_shares(labels), strict=True)),
        "functions": [_function(labels, j) for j in range(len(labels.functions))],
        "warnings": _warnings(labels),
    }


def _function(labels: LabelSet, j: int) -> dict[str, Any]:
    """``agreement``: share of its votes that the combined label supports. ``alone``: share of windows only it decides."""
    votes = labels.votes[:, j]
    spoke = votes != ABSTAIN
    others = np.delete(labels.votes, j, axis=1)
    other_spoke = others != ABSTAIN
    differs = (other_spoke & (others != votes[:, None])).any(axis=1)
    decided = labels.probabilities.argmax(axis=1)
    return {
        "name": labels.functions[j],
        "votes": [labels.classes[v] for v in np.unique(votes[spoke])],
        "firing_rate": _share(spoke),
        "overlap": _share(spoke & other_spoke.any(axis=1)),
        "conflict": _share(spoke & differs),
        "alone": _share(spoke & ~other_spoke.any(axis=1)),
        "agreement": _share(decided[spoke] == votes[spoke]) if spoke.any() else None,
    }


def _warnings(labels: LabelSet) -> list[str]:
    """What its author should look at: functions that never or always fire, copies, classes nobody votes for."""
    rates = (labels.votes != ABSTAIN).mean(axis=0)
    found = [f"{n} almost never fires" for n, r in zip(labels.functions, rates, strict=True) if r < _RARE]
    found += [f"{n} fires on every window" for n, r in zip(labels.functions, rates, strict=True) if r == 1.0]
    for i, first in enumerate(labels.functions):
        for j in range(i + 1, len(labels.functions)):
            if _jaccard(labels.votes[:, i], labels.votes[:, j]) > _COPY:
                found.append(f"{first} and {labels.functions[j]} vote alike: the model counts one opinion twice")
    voted = set(np.unique(labels.votes).tolist())
    if labels.source == "weak":
        found += [f"no function votes for {name}" for v, name in enumerate(labels.classes) if v not in voted]
    return found


def _jaccard(a: NDArray[np.int8], b: NDArray[np.int8]) -> float:
    either = (a != ABSTAIN) | (b != ABSTAIN)
    return float((a[either] == b[either]).mean()) if either.any() else 0.0


def _conflicts(votes: NDArray[np.int8]) -> NDArray[np.bool_]:
    """(windows,) whether two functions name different classes."""
    if not votes.shape[1]:
        return np.zeros(len(votes), bool)
    lowest = np.where(votes == ABSTAIN, 127, votes).min(axis=1)
    return np.asarray((votes.max(axis=1) != ABSTAIN) & (lowest != votes.max(axis=1)))


def _class_shares(labels: LabelSet) -> list[float]:
    if not labels.covered.any():
        return [0.0] * len(labels.classes)
    return [round(float(p), 6) for p in labels.probabilities[labels.covered].mean(axis=0, dtype=np.float64)]


def _share(mask: NDArray[Any]) -> float:
    return round(float(np.mean(mask)), 6) if len(mask) else 0.0


def _sections(report: dict[str, Any]) -> list[str]:
    if not report["tasks"]:
        return [paragraph("No task of this workspace wants labels.")]
    sections = []
    for task in report["tasks"]:
        sections.append(table(f"Task {task['task']} ({task['source']})", ("quantity", "share of windows"),
                              [(k, task[k]) for k in ("coverage", "overlap", "conflict")]))  # fmt: skip
        sections.append(table("Mean probability of each class", ("class", "share"), list(task["class_shares"].items())))
        if task["functions"]:
            sections.append(table("Labelling functions", FUNCTION_COLUMNS, function_rows(task)))
        sections += [paragraph(f"Look at this: {warning}.") for warning in task["warnings"]]
    return sections


FUNCTION_COLUMNS = ("function", "votes for", "fires", "overlaps", "contradicted", "alone", "upheld")


def function_rows(task: dict[str, Any]) -> list[tuple[object, ...]]:
    """One row a function under `FUNCTION_COLUMNS`, shares as numbers."""
    keys = ("firing_rate", "overlap", "conflict", "alone")
    return [
        (f["name"], ", ".join(f["votes"]) or "nothing", *(f[k] for k in keys), "" if f["agreement"] is None else f["agreement"])
        for f in task["functions"]
    ]
