"""From proven artefacts to drafted releases: what follows the steps, and belongs to the registry."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.values import Artefact, Dataset, Proof
from components.values.curves import load_curves
from components.workspace import Workspace
from components.workspace.errors import GateFailed, NotFound
from components.workspace.files import sha256_json, write_json
from components.workspace.store import digest_of
from flows.artefacts import write_page

if TYPE_CHECKING:
    from registry.models import ModelVersion, Report
    from registry.rollout import Release

AUTHOR = "train-and-release"
"""Who drafts what a run has made; people approve."""


@dataclass(frozen=True)
class Released:
    """What the last run registered and drafted; ``key`` digests all that it depends on."""

    key: str
    model: str
    version: int
    releases: tuple[str, ...]


def require_proofs(workspace: Workspace, profile: str | None = None) -> list[Proof]:
    """The proofs of all profiles, or of one.

    Raises:
        GateFailed: an artefact missed a limit; the message names each miss. One that could not be proven here is no
            miss: it is never offered (see `registry.rollout.draft`).
    """
    proofs = read_proofs(workspace, profile)
    misses = [
        f"{proof.profile}: {check.name} is {check.value:g} {check.unit}".rstrip() + f", limit {check.limit:g}"
        for proof in proofs
        for check in proof.checks
        if not check.passed and check.limit is not None
    ]
    if misses:
        raise GateFailed(
            "an artefact does not fit its hardware profile:\n  " + "\n  ".join(misses),
            hint=f"change the model or the budgets in profiles/*.yaml; the proofs are in {workspace.out / 'prove'}",
        )
    return proofs


def register(workspace: Workspace) -> ModelVersion:
    """One model version with every artefact, the proofs, the metrics, and where it all came from."""
    from registry import models

    out = workspace.out
    artefacts = [out / "quantize" / p.name / f"{p.name}.artefact" for p in workspace.profiles]
    metrics = json.loads((out / "train" / "metrics.json").read_text())
    labels = json.loads((out / "train" / "labels.json").read_text())
    lineage = {
        "data_digest": Dataset.load(out / "validate").digest,
        "labels_digest": str(digest_of(out / "label")),
        "workspace_digest": sha256_json(workspace.settings.model_dump(mode="json")),
        "code_revision": code_revision(),
    } | {f"labels.{task}.{fact}": str(value) for task, facts in labels.items() for fact, value in facts.items()}
    return models.register(
        workspace,
        model_folder=out / "train",
        artefact_files=artefacts,
        proofs=read_proofs(workspace),
        metrics=metrics,
        lineage=lineage,
        report=_report(out, write_page(workspace)),
    )


def _report(out: Path, *pages: Path) -> Report:
    from registry.models import Report

    figures = json.loads((out / "report" / "report.json").read_text())["figures"]
    curves: dict[str, list[tuple[int, float]]] = {}
    for point in load_curves(out / "train"):
        for name, value in point.losses.items():
            curves.setdefault(f"{point.phase}/{point.part}/{name}", []).append((point.step, value))
    return Report(out / "report", figures, curves, pages)


def draft(workspace: Workspace, version: ModelVersion) -> list[Release]:
    """Offer the version to every fleet, as drafts that wait for two people."""
    from registry import inventory, rollout

    inventory.import_devices(workspace)
    return rollout.draft(workspace, version, read_artefacts(workspace), read_proofs(workspace), AUTHOR)


def remember(workspace: Workspace, version: ModelVersion, releases: list[Release]) -> None:
    """Note what was released for which results, so that a run that changes nothing is over at once."""
    note = Released(release_key(workspace), version.name, version.version, tuple(r.id for r in releases))
    write_json(_note(workspace), asdict(note))


def already_released(workspace: Workspace) -> Released | None:
    """What the last run released, if nothing that it depends on has changed and the registry still has it."""
    file = _note(workspace)
    if not file.is_file():
        return None
    value = json.loads(file.read_text())
    note = Released(value["key"], value["model"], value["version"], tuple(value["releases"]))
    if note.key != release_key(workspace):
        return None
    from registry import rollout

    known = {release.id for release in rollout.list_releases(workspace)}
    return note if known.issuperset(note.releases) else None


def release_key(workspace: Workspace) -> str:
    from registry.inventory.sources import digest_of as digest_of_inventory

    settings = workspace.settings
    inventories = [digest_of_inventory(workspace, fleet.inventory) for fleet in settings.fleets]
    return sha256_json(
        [
            digest_of(workspace.out / "prove"),
            digest_of(workspace.out / "quantize"),
            settings.model_dump(mode="json", include={"name", "fleets", "release", "registry"}),
            inventories,
            [os.environ.get(name) for name in ("MUSTER_TRACKING_URI", "MUSTER_DATABASE_URL")],
        ]
    )


def read_artefacts(workspace: Workspace) -> list[Artefact]:
    return [Artefact.load(_present(workspace.out / "quantize" / p.name / f"{p.name}.artefact")) for p in workspace.profiles]


def read_proofs(workspace: Workspace, profile: str | None = None) -> list[Proof]:
    """Of all profiles, or of one."""
    names = [p.name for p in workspace.profiles if profile in (None, p.name)]
    return [Proof.load(_present(workspace.out / "prove" / name / f"{name}.proof.json")) for name in names]


def code_revision() -> str:
    """The commit of this checkout, with '+' when files differ from it; 'unknown' outside of one."""
    here = Path(__file__).parent
    try:
        revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True, timeout=10)
        changes = subprocess.run(
            ["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return revision.stdout.strip() + ("+" if changes.stdout.strip() else "")


def _present(file: Path) -> Path:
    if not file.is_file():
        raise NotFound(f"{file} is not there", hint="muster run makes it")
    return file


def _note(workspace: Workspace) -> Path:
    return workspace.state / "released.json"
