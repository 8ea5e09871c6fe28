"""One line about what a step put out, for whoever watches the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.workspace import Workspace

HEADLINES = ("/vus_pr", "/macro_f1", "/rmse")
"""The metric of a task that a line or a table shows; metrics and proofs hold all."""


def coverages(workspace: Workspace, folder: Path) -> dict[str, float]:
    """Task -> share of the windows that the labels in ``folder`` (`out/label`) say anything of."""
    from components.values import LabelSet, Targets

    return {
        task.name: (LabelSet.load(folder, task.name) if task.votes else Targets.load(folder, task.name)).coverage
        for task in workspace.settings.tasks
        if task.labels != "none"
    }


def describe(workspace: Workspace, step: str, profile: str | None) -> str:
    """What `out/<step>` holds now, in a few words."""
    folder = workspace.out / step / (profile or "")
    return _NOTES[step](workspace, folder)


def _ingested(_: Workspace, folder: Path) -> str:
    report = _json(folder / "ingest.json")
    unreadable = f", {len(report['skipped'])} unreadable" if report["skipped"] else ""
    return f"{report['rows']:,} rows of {report['objects']:,} objects{unreadable}"


def _validated(_: Workspace, folder: Path) -> str:
    report = _json(folder / "dataset.json")
    return f"{report['rows']:,} rows accepted, {report['quarantined']:,} quarantined, {report['duplicates']:,} duplicates dropped"


def _cut(_: Workspace, folder: Path) -> str:
    import numpy as np

    codes = np.load(folder / "codes.npy", mmap_mode="r")
    return f"{codes.shape[0]:,} windows of {codes.shape[1]} steps and {codes.shape[2]} channels"


def _labelled(workspace: Workspace, folder: Path) -> str:
    found = coverages(workspace, folder)
    return ", ".join(f"{task}: {share:.0%} of the windows" for task, share in found.items()) or "no labelled task"


def _trained(workspace: Workspace, folder: Path) -> str:
    metrics, kind = _json(folder / "metrics.json"), workspace.settings.model.kind
    ours = {key: value for key, value in metrics.items() if f"/{kind}/" in key and key.endswith(HEADLINES)}
    return ", ".join(f"{key.replace(f'/{kind}/', ' ')} {value:.3f}" for key, value in ours.items()) or "no truth to judge by"


def _reported(_: Workspace, folder: Path) -> str:
    return str(folder / "report.html")


def _compiled(_: Workspace, folder: Path) -> str:
    return ", ".join(f"{file.stat().st_size:,} bytes" for file in sorted(folder.rglob("*.artefact")))


def _proven(_: Workspace, folder: Path) -> str:
    proofs = [_json(file) for file in sorted(folder.rglob("*.proof.json"))]
    return ", ".join(f"{proof['level']}, {'passed' if proof['passed'] else 'FAILED'}" for proof in proofs)


_NOTES: dict[str, Callable[[Workspace, Path], str]] = {
    "ingest": _ingested,
    "validate": _validated,
    "features": _cut,
    "label": _labelled,
    "train": _trained,
    "report": _reported,
    "quantize": _compiled,
    "prove": _proven,
}


def _json(file: Path) -> Any:
    return json.loads(file.read_text())
