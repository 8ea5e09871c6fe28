"""Draft releases: which variants of which fleet are offered a model version, in which cohorts, on which proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from components.values import Artefact, Proof
from components.workspace import Workspace
from components.workspace.errors import GateFailed, InputError
from components.workspace.files import sha256_bytes
from components.workspace.settings import Fleet
from registry.contract.cohort import buckets, cut, quota
from registry.contract.manifest import manifest_path
from registry.contract.times import stamp, utc_now
from registry.database import open_database, publications, reading, releases, writing
from registry.inventory import Group, count_devices, devices_of
from registry.models import ModelVersion
from registry.repository import upload_artefact
from registry.rollout import events
from registry.rollout.events import Event, following
from registry.rollout.release import Offer, Release, Skipped, StagePlan, replay
from registry.rollout.states import TERMINAL, Kind


@dataclass(frozen=True)
class _Candidate:
    """An artefact that may be released, with its bytes and the proof that says so."""

    artefact: Artefact
    data: bytes
    sha256: str
    proof: Proof


def draft(
    workspace: Workspace,
    version: ModelVersion,
    artefacts: Sequence[Artefact],
    proofs: Sequence[Proof],
    actor: str,
    *,
    again: bool = False,
    dry_run: bool = False,
    now: datetime | None = None,
) -> list[Release]:
    """Offer ``version`` to every fleet of the workspace; each release then waits for two persons.

    The same model version is drafted once: a second call returns the releases as they are now, ``again`` drafts
    anew where the earlier release has ended. ``dry_run`` returns what would be drafted and writes nothing.

    Raises:
        GateFailed: the proof of a needed profile is missing, failed, or of a level that may not be released.
        InputError: a fleet has no devices, or none that any variant with an artefact takes.
    """
    candidates = _candidates(workspace, artefacts, proofs)
    drafts = []
    for fleet in workspace.settings.fleets:
        latest, counter, attempt = _earlier(workspace, fleet.name, version)
        if latest and not (again and latest.state in TERMINAL):
            drafts.append(latest)
            continue
        release_id = f"{fleet.name}-r{counter}"
        payload = _plan(workspace, fleet, version, candidates, release_id, counter)
        log = _log(release_id, actor, stamp(now or utc_now()), payload)
        if not dry_run:
            _store(workspace, log, attempt, candidates)
        drafts.append(replay(log))
    return drafts


def _candidates(workspace: Workspace, artefacts: Sequence[Artefact], proofs: Sequence[Proof]) -> dict[str, _Candidate]:
    """Profile -> what may be released on it. One artefact that may not fails the whole draft."""
    proven = {p.profile: p for p in proofs}
    levels = workspace.settings.release.proof_levels
    found: dict[str, _Candidate] = {}
    for artefact in artefacts:
        name, data = artefact.profile, artefact.to_bytes()
        digest = sha256_bytes(data)
        proof = proven.get(name)
        if proof is None or proof.artefact_sha256 != digest:
            raise GateFailed(
                f"profile '{name}': the artefact {digest[:12]} has no proof of its own", hint="muster artefact prove makes it"
            )
        if failed := [c.name for c in proof.checks if not c.passed]:
            raise GateFailed(
                f"profile '{name}': the proof failed: {', '.join(failed)}",
                hint="muster artefact show says by how much; a failed proof is never released",
            )
        if proof.level == "none" or proof.level not in levels:
            raise GateFailed(
                f"profile '{name}': proof level '{proof.level}' may not be released (allowed: {', '.join(levels)})",
                hint=proof.missing or "prove it on a better machine, or add the level to release.proof_levels",
            )
        found[name] = _Candidate(artefact, data, digest, proof)
    return found


def _earlier(workspace: Workspace, fleet: str, version: ModelVersion) -> tuple[Release | None, int, int]:
    """(latest release of the version in the fleet, next counter, next attempt)."""
    same = (
        sa.select(releases.c.id, releases.c.attempt)
        .where(releases.c.fleet == fleet, releases.c.model_name == version.name, releases.c.model_version == version.version)
        .order_by(releases.c.attempt.desc())
    )
    highest = sa.select(sa.func.max(releases.c.counter)).where(releases.c.fleet == fleet)
    with reading(open_database(workspace.database_url)) as connection:
        row = connection.execute(same).first()
        latest = replay(events.read(connection, row.id)) if row else None
        counter = (connection.scalar(highest) or 0) + 1
    return latest, counter, row.attempt + 1 if row else 1


def _plan(
    workspace: Workspace,
    fleet: Fleet,
    version: ModelVersion,
    candidates: dict[str, _Candidate],
    release_id: str,
    counter: int,
) -> dict[str, Any]:
    groups = count_devices(workspace, fleet=fleet.name)
    if not groups:
        raise InputError(f"fleet '{fleet.name}' has no devices", hint=f"muster fleet import reads {fleet.inventory}")
    reached: dict[str, list[Group]] = {}
    skipped = []
    for group in groups:
        if group.variant is not None and group.profile in candidates:
            reached.setdefault(group.variant, []).append(group)
        else:
            reason = group.reason or f"the model has no artefact for profile '{group.profile}'"
            skipped.append(Skipped(group.profile, group.firmware, group.devices, reason))
    if not reached:
        raise InputError(
            f"no device of fleet '{fleet.name}' would get anything: {skipped[0].reason}",
            hint="muster fleet show says which devices match which variant",
        )
    offers = [_offer(workspace, fleet, v, g, candidates[g[0].profile], release_id) for v, g in sorted(reached.items())]
    gates = workspace.settings.release.gates
    return {
        "fleet": fleet.name,
        "model_name": version.name,
        "model_version": version.version,
        "counter": counter,
        "expires_days": workspace.settings.release.expires_days,
        "gates": {
            "p0_bp": gates.accepted_failures_bp,
            "pmax_bp": gates.intolerable_failures_bp,
            "alpha_halt_bp": gates.alpha_halt_bp,
            "alpha_promote_bp": gates.alpha_promote_bp,
            "report_deadline_s": gates.report_deadline_s,
        },
        "manifests": [asdict(o) for o in offers],
        "skipped": [asdict(s) for s in skipped],
    }


def _offer(
    workspace: Workspace, fleet: Fleet, variant: str, groups: list[Group], candidate: _Candidate, release_id: str
) -> Offer:
    artefact = candidate.artefact
    values = buckets(release_id, devices_of(workspace, groups))
    quotas = [(s, quota(len(values), s.share)) for s in workspace.settings.release.stages]
    firmware = next(v.firmware for v in fleet.variants if variant == f"{artefact.profile}-{v.name}")
    return Offer(
        variant=variant,
        profile=artefact.profile,
        firmware=firmware,
        devices=len(values),
        artefact_sha256=candidate.sha256,
        length=len(candidate.data),
        runtime=artefact.runtime,
        runtime_minimal=artefact.runtime_minimal,
        proof_level=candidate.proof.level,
        stages=tuple(StagePlan(s.name, k, cut(values, k), s.soak_s) for s, k in quotas),
        sequence=_next_sequence(workspace, fleet.name, variant),
        path=manifest_path(fleet.name, variant),
    )


def _next_sequence(workspace: Workspace, fleet: str, variant: str) -> int:
    query = sa.select(sa.func.max(publications.c.sequence)).where(
        publications.c.fleet == fleet, publications.c.variant == variant
    )
    with reading(open_database(workspace.database_url)) as connection:
        return (connection.scalar(query) or 0) + 1


def _log(release_id: str, actor: str, time: str, payload: dict[str, Any]) -> tuple[Event, Event]:
    drafted = following(None, release_id, time, actor, Kind.DRAFTED, payload)
    return drafted, following(drafted, release_id, time, actor, Kind.SUBMITTED, {})


def _store(workspace: Workspace, log: tuple[Event, Event], attempt: int, candidates: dict[str, _Candidate]) -> None:
    """Artefacts first: nobody can approve what devices could not fetch."""
    plan = log[0].payload
    digests = {o["artefact_sha256"] for o in plan["manifests"]}
    for candidate in candidates.values():
        if candidate.sha256 in digests:
            upload_artefact(workspace, candidate.sha256, candidate.data)
    row = {"id": log[0].release_id, "attempt": attempt} | {
        k: plan[k] for k in ("fleet", "counter", "model_name", "model_version")
    }
    with writing(open_database(workspace.database_url)) as connection:
        connection.execute(releases.insert(), row)
        events.append(connection, log)
