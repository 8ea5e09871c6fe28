"""Draft releases: which variants of which fleet are offered a model version, in which cohorts, on which proof."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from components.values import Artefact, Proof
from components.workspace import Workspace
from components.workspace.errors import GateFailed, InputError, MusterError
from components.workspace.release_settings import Fleet
from components.workspace.release_settings import Release as Policy
from registry.contract.cohort import BUCKETS
from registry.contract.manifest import manifest_path
from registry.contract.times import stamp, utc_now
from registry.database import open_database, publications, reading, releases, writing
from registry.inventory import Group, count_devices
from registry.models import ModelVersion
from registry.repository import upload_artefact
from registry.rollout import events
from registry.rollout.admission import Admission, Candidate, admit
from registry.rollout.events import Event, following
from registry.rollout.firmware_needs import for_a_variant, in_words, is_too_old, steps_to
from registry.rollout.manifests import manifest_of
from registry.rollout.members import count_sites, members, sites_of
from registry.rollout.plan import Plan, plan, underpowered
from registry.rollout.release import Cut, MetricRule, Offer, Release, Rules, Skipped, Way
from registry.rollout.replaying import replay
from registry.rollout.starting import outdate
from registry.rollout.states import Kind, State

_PLANNED = {f.name for f in fields(Offer) if f.default is MISSING} | {"firmware_version", "hardware_revisions"}
"""What a draft says of an offer; all else is told by later events."""


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
    not_before: datetime | None = None,
    now: datetime | None = None,
) -> list[Release]:
    """Offer ``version`` to every fleet of the workspace; each release then waits for two persons.

    A profile whose proof is of a level that the policy does not allow is left out; its devices are in ``skipped``.
    A new draft supersedes those of its fleet that still wait.

    The same model version is drafted once: a second call returns the releases as they are now. It is drafted anew when
    a profile that was left out is proven by now, when the earlier draft was superseded before it started, and with
    ``again`` where the earlier release has ended. ``dry_run`` returns what would be drafted and writes nothing.

    Raises:
        GateFailed: a proof is missing, of other bytes or failed, nothing proven well enough is left for a fleet, or a
            stage has too few devices for its gate to ever decide.
        InputError: a fleet has no devices, or none that any variant with an artefact takes.
    """
    admission = admit(workspace, artefacts, proofs)
    time = stamp(now or utc_now())
    start = stamp(not_before) if not_before else ""
    drafts = [
        _draft(workspace, fleet, version, admission, actor, time, start, again=again) for fleet in workspace.settings.fleets
    ]
    for new in drafts:
        if new.log and not dry_run:
            store(workspace, new.log, new.attempt, [(c.sha256, c.data) for c in admission.candidates.values()])
    return [d.release for d in drafts]


def _draft(
    workspace: Workspace,
    fleet: Fleet,
    version: ModelVersion,
    admission: Admission,
    actor: str,
    time: str,
    not_before: str,
    *,
    again: bool,
) -> _Draft:
    latest, counter, attempt = _earlier(workspace, fleet.name, version)
    if latest and _stands(workspace, latest, admission, again=again):
        return _Draft(latest, attempt)
    release_id = f"{fleet.name}-r{counter}"
    payload = _payload(workspace, fleet, version, admission, release_id, counter) | {"not_before": not_before}
    log = first_events(release_id, actor, time, payload)
    check_sizes(replay(log))
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


def _payload(
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
    with reading(open_database(workspace.database_url)) as connection:
        for group in groups:
            if group.variant is not None and group.profile in admission.candidates:
                reached.setdefault(group.variant, []).append(group)
            else:
                skipped.append(_skipped(connection, fleet, group, admission))
    if not reached:
        raise _nothing_left(fleet, skipped, admission)
    offers = _offers(workspace, fleet, reached, admission, release_id)
    return payload_of(workspace, fleet, version.name, version.version, counter, offers, skipped)


def payload_of(
    workspace: Workspace,
    fleet: Fleet,
    name: str,
    version: int,
    counter: int,
    offers: Sequence[Offer],
    skipped: Sequence[Skipped],
) -> dict[str, Any]:
    """What the first event of a release says, but for `not_before`."""
    return {
        "fleet": fleet.name,
        "model_name": name,
        "model_version": version,
        "counter": counter,
        "expires_days": workspace.settings.release.expires_days,
        "windows": list(workspace.settings.release.windows),
        "pinned": list(fleet.pinned),
        "rules": asdict(_rules(workspace.settings.release)),
        "offers": [{name: value for name, value in asdict(o).items() if name in _PLANNED} for o in offers],
        "skipped": [asdict(s) for s in skipped],
    }


def _rules(policy: Policy) -> Rules:
    gates = policy.gates
    return Rules(
        p0_bp=gates.accepted_failures_bp,
        pmax_bp=gates.intolerable_failures_bp,
        alpha_halt_bp=gates.alpha_halt_bp,
        alpha_promote_bp=gates.alpha_promote_bp,
        report_deadline_s=gates.report_deadline_s,
        max_attempts=gates.max_attempts,
        extensions=gates.extensions,
        halt=policy.halt,
        metrics=tuple(MetricRule(m.name, m.limit, m.accepted_bp, round(m.margin * 10_000)) for m in gates.metrics),
    )


def _skipped(connection: sa.Connection, fleet: Fleet, group: Group, admission: Admission) -> Skipped:
    """Devices whose firmware is too old are told which release would bring them in."""
    reason, requires = _reason(group, admission), ""
    if group.profile in admission.candidates and is_too_old(fleet, group):
        steps = steps_to(connection, fleet.name, group, for_a_variant(fleet))
        reason, requires = f"{reason}; {in_words(steps)}", steps[0].release if steps else ""
    return Skipped(group.profile, group.firmware, group.devices, reason, requires)


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


def _offers(
    workspace: Workspace, fleet: Fleet, reached: dict[str, list[Group]], admission: Admission, release_id: str
) -> list[Offer]:
    """Raises GateFailed with every stage that is too small for its gate."""
    policy, problems, offers = workspace.settings.release, [], []
    with reading(open_database(workspace.database_url)) as connection:
        for variant, groups in sorted(reached.items()):
            ids = members(connection, groups, without=fleet.pinned)
            if not ids:
                continue
            sites = count_sites(connection, groups)
            drawn = plan(policy, ids, release_id, sites=sites, sites_of=partial(sites_of, connection))
            if problem := underpowered(policy, drawn):
                problems.append(f"fleet '{fleet.name}', {variant} ({len(ids)} devices): {problem}")
            candidate = admission.candidates[groups[0].profile]
            revisions = workspace.profile(groups[0].profile).hardware_revisions
            offer = _offer(connection, fleet, variant, len(ids), candidate, drawn)
            offers.append(replace(offer, hardware_revisions=revisions))
    if problems:
        raise GateFailed(
            "\n".join(problems),
            hint="raise the share of these stages, or write decided_by: people for them: a person then opens what follows",
        )
    if not offers:
        raise InputError(f"every device of fleet '{fleet.name}' is pinned", hint="see fleets: pinned: in muster.yaml")
    return offers


def _offer(connection: sa.Connection, fleet: Fleet, variant: str, devices: int, candidate: Candidate, drawn: Plan) -> Offer:
    artefact = candidate.artefact
    return Offer(
        variant=variant,
        profile=artefact.profile,
        firmware=next(v.firmware for v in fleet.variants if variant == f"{artefact.profile}-{v.name}"),
        devices=devices,
        artefact_sha256=candidate.sha256,
        length=len(candidate.data),
        runtime=artefact.runtime,
        runtime_minimal=artefact.runtime_minimal,
        proof_level=candidate.proof.level,
        stages=drawn.stages,
        sequence=planned_sequence(connection, fleet.name, variant),
        path=manifest_path(fleet.name, variant),
        control_from=drawn.control_from,
        deferred=drawn.deferred,
    )


def planned_sequence(connection: sa.Connection, fleet: str, variant: str) -> int:
    """The number that devices would be told first, if nothing else is released before."""
    same = (publications.c.fleet == fleet, publications.c.variant == variant)
    return (connection.scalar(sa.select(sa.func.max(publications.c.sequence)).where(*same)) or 0) + 1


def check_sizes(release: Release) -> None:
    """Raises InputError for a release whose manifests would be longer than devices read, whatever happens to it."""
    for offer in release.manifests:
        longest = replace(
            offer,
            cuts=(Cut(BUCKETS, offer.devices, release.created),),
            created=release.created,
            told_by="0" * 64,
            sequence=10**9,
            previous=Way(10**9, release.model_name, 10**6, "0" * 64, 2**31, 10**9, offer.runtime, offer.runtime_minimal),
            state=State.ROLLING_BACK,
            stage=len(offer.stages) - 1,
        )
        try:
            manifest_of(release, longest).to_bytes()
        except ValueError as error:
            raise InputError(
                f"fleet '{release.fleet}', {offer.variant}: {error}",
                hint="give release: fewer stages or shorter names, and the fleet fewer pinned devices",
            ) from None


def first_events(release_id: str, actor: str, time: str, payload: dict[str, Any]) -> tuple[Event, Event]:
    """A draft, and that it waits for approval."""
    drafted = following(None, release_id, time, actor, Kind.DRAFTED, payload)
    return drafted, following(drafted, release_id, time, actor, Kind.SUBMITTED, {})


def store(
    workspace: Workspace,
    log: tuple[Event, Event],
    attempt: int,
    artefacts: Iterable[tuple[str, bytes]],
    keep: Collection[str] = (),
) -> None:
    """Artefacts (digest, bytes) first: nobody can approve what devices could not fetch. ``keep``: drafts that go on waiting."""
    drafted, payload = log[0], log[0].payload
    digests = {o["artefact_sha256"] for o in payload["offers"]}
    for sha256, data in artefacts:
        if sha256 in digests:
            upload_artefact(workspace, sha256, data)
    row = {"id": drafted.release_id, "attempt": attempt} | {
        k: payload[k] for k in ("fleet", "counter", "model_name", "model_version")
    }
    with writing(open_database(workspace.database_url)) as connection:
        connection.execute(releases.insert(), row)
        events.append(connection, log)
        outdate(connection, payload["fleet"], drafted, keep)
