"""The table at the end of a run: what came in, what was learned, what each device would get."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.values import Artefact, Dataset, Proof
from components.workspace import Workspace
from flows import release
from flows.notes import HEADLINES, coverages


@dataclass(frozen=True)
class Summary:
    """``labels``: task -> coverage. ``metrics``: `<task>/<method>/<metric>`. ``artefacts``: one row a profile.

    ``kind``: of the model, as in `model.kind`; the method that its metrics go by.
    """

    workspace: str
    rows_accepted: int
    rows_quarantined: int
    devices: int
    labels: dict[str, float]
    metrics: dict[str, float]
    artefacts: tuple[dict[str, Any], ...]
    model: str
    kind: str
    version: int | None
    manifests: tuple[dict[str, Any], ...]
    left_out: tuple[str, ...]


def summarise(workspace: Workspace) -> Summary:
    """Read what the last run put out and registered."""
    from registry import rollout

    out = workspace.out
    dataset = Dataset.load(out / "validate")
    note = release.already_released(workspace)
    releases = [r for r in rollout.list_releases(workspace) if note is not None and r.id in note.releases]
    return Summary(
        workspace=str(workspace.root),
        rows_accepted=dataset.rows,
        rows_quarantined=dataset.quarantined,
        devices=dataset.devices,
        labels=coverages(workspace, out / "label"),
        metrics=json.loads((out / "train" / "metrics.json").read_text()),
        artefacts=tuple(_artefact(out, profile.name) for profile in workspace.profiles),
        kind=workspace.settings.model.kind,
        model=note.model if note else workspace.settings.name,
        version=note.version if note else None,
        manifests=tuple(
            {
                "release": r.id,
                "state": r.state,
                "fleet": r.fleet,
                "variant": m.variant,
                "devices": m.devices,
                "sequence": m.sequence,
                "artefact_sha256": m.artefact_sha256,
                "path": m.path,
            }
            for r in releases
            for m in r.manifests
        ),
        left_out=tuple(f"{r.fleet}: {s.devices} devices: {s.reason}" for r in releases for s in r.skipped),
    )


def _artefact(out: Path, profile: str) -> dict[str, Any]:
    artefact = Artefact.load(out / "quantize" / profile / f"{profile}.artefact")
    proof = Proof.load(out / "prove" / profile / f"{profile}.proof.json")
    return {
        "profile": profile,
        "runtime": artefact.runtime,
        "bytes": artefact.size,
        "sha256": artefact.sha256,
        "metrics": {c.name: c.value for c in proof.checks if c.name.endswith(HEADLINES)},
        "cost": next(({"name": c.name, "value": c.value, "unit": c.unit} for c in proof.checks if c.name in COSTS), None),
        "level": proof.level,
        "machine": proof.machine,
        "missing": proof.missing,
        "passed": proof.passed,
    }


COSTS = ("instructions", "latency")
"""Checks that say what one window costs, the better kind first."""
