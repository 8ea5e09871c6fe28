"""Draft releases: which variants of which fleet are offered a model version, in which cohorts, on which proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from components.values import Artefact, Proof
from components.workspace import Workspace
from components.workspace.errors import GateFailed, InputError, MusterError
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
from registry.rollout.gate import Admission, Candidate, admit
from registry.rollout.release import Offer, Release, Skipped, StagePlan, replay
from registry.rollout.starting import outdate
from registry.rollout.states import Kind, State


@dataclass(frozen=True)
class _Draft:
    """A fleet's release; ``log`` has its first events where it is a new one."""

    release: Release
    attempt: int
    log: tuple[Event, Event] | None = None


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

    A profile whose proof is of a level that the policy does not allow is left out; its devices are in ``skipped``.
    A new draft supersedes those of its fleet that still wait.

    The same model version is drafted once: a second call returns the releases as they are now. It is drafted anew when
    a profile that was left out is proven by now, when the earlier draft was superseded before it started, and with
    ``again`` where the earlier release has ended. ``dry_run`` returns what would be drafted and writes nothing.

    Raises:
        GateFailed: a proof is missing, of other bytes or failed, or nothing proven well enough is left for a fleet.
        InputError: a fleet has no devices, or none that any variant with an artefact takes.
    """
    admission = admit(workspace, artefacts, proofs)
    time = stamp(now or utc_now())
    drafts = [_draft(workspace, fleet, version, admission, actor, time, again=again) for fleet in workspace.settings.fleets]
    for new in drafts:
        if new.log and not dry_run:
            _store(workspace, new.log, new.attempt, admission)
    return [d.release for d in drafts]


def _draft(
    workspace: Workspace, fleet: Fleet, version: ModelVersion, admission: Admission, actor: str, time: str, *, again: bool
) -> _Draft:
    latest, counter, attempt = _earlier(workspace, fleet.name, version)
    if latest and _stands(workspace, latest, admission, again=again):
        return _Draft(latest, attempt)
    release_id = f"{fleet.name}-r{counter}"
    log = _log(release_id, actor, time, _plan(workspace, fleet, version, admission, release_id, counter))
    return _Draft(replay(log), attempt, log)


def _stands(workspace: Workspace, release: Release, admission: Admission, *, again: bool) -> bool:
    """Whether the version's earlier release is what is meant now, too. A superseded draft ended by no person's decision."""
    if release.open:
        return not _outgrown(workspace, release, admission)
    return not again and (release.started or release.state != State.SUPERSEDED)


def _outgrown(workspace: Workspace, release: Release, admission: Admission) -> bool:
    """Whether a profile that the open release left out can be offered now, e.g. after a better proof."""
    left_out = {s.profile for s in release.skipped} - {o.profile for o in release.manifests}
    now_proven = left_out & admission.candidates.keys()
    groups = count_devices(workspace, fleet=release.fleet) if now_proven else []
    return any(g.variant is not None and g.profile in now_proven for g in groups)


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
    admission: Admission,
    release_id: str,
    counter: int,
) -> dict[str, Any]:
    groups = count_devices(workspace, fleet=fleet.name)
    if not groups:
        raise InputError(f"fleet '{fleet.name}' has no devices", hint=f"muster fleet import reads {fleet.inventory}")
    reached: dict[str, list[Group]] = {}
    skipped = []
    for group in groups:
        if group.variant is not None and group.profile in admission.candidates:
            reached.setdefault(group.variant, []).append(group)
        else:
            skipped.append(Skipped(group.profile, group.firmware, group.devices, _reason(group, admission)))
    if not reached:
        raise _nothing_left(fleet, skipped, admission)
    offers = [_offer(workspace, fleet, v, g, admission.candidates[g[0].profile], release_id) for v, g in sorted(reached.items())]
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


def _reason(group: Group, admission: Admission) -> str:
    """Why the release does not reach these devices."""
    absent = f"the model has no artefact for profile '{group.profile}'"
    return group.reason or admission.withheld.get(group.profile, absent)


def _nothing_left(fleet: Fleet, skipped: list[Skipped], admission: Admission) -> MusterError:
    """The gate's refusal where it alone stands in the way of some devices, else a wrong inventory or configuration."""
    for gated in skipped:
        if gated.reason == admission.withheld.get(gated.profile):
            return GateFailed(
                f"nothing is left to offer to fleet '{fleet.name}': profile '{gated.profile}': {gated.reason}",
                hint="prove it with what is missing (muster doctor), or add the level to release.proof_levels",
            )
    return InputError(
        f"no device of fleet '{fleet.name}' would get anything: {skipped[0].reason}",
        hint="muster fleet show says which devices match which variant",
    )


def _offer(workspace: Workspace, fleet: Fleet, variant: str, groups: list[Group], candidate: Candidate, release_id: str) -> Offer:
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


def _store(workspace: Workspace, log: tuple[Event, Event], attempt: int, admission: Admission) -> None:
    """Artefacts first: nobody can approve what devices could not fetch."""
    drafted, plan = log[0], log[0].payload
    digests = {o["artefact_sha256"] for o in plan["manifests"]}
    for candidate in admission.candidates.values():
        if candidate.sha256 in digests:
            upload_artefact(workspace, candidate.sha256, candidate.data)
    row = {"id": drafted.release_id, "attempt": attempt} | {
        k: plan[k] for k in ("fleet", "counter", "model_name", "model_version")
    }
    with writing(open_database(workspace.database_url)) as connection:
        connection.execute(releases.insert(), row)
        events.append(connection, log)
        outdate(connection, plan["fleet"], drafted)
