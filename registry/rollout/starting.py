"""What a release replaces: by its draft the drafts that still wait, by its start what runs. There it takes its numbers too."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from registry.database import publications, releases, role_versions
from registry.rollout import events
from registry.rollout.events import Event, following
from registry.rollout.release import Release, apply, replay
from registry.rollout.states import OFFERED, Kind, State


def take_over(connection: sa.Connection, release: Release, last: Event, person: str, time: str) -> tuple[Event, Event]:
    """The two events that start an approved release, after ``last``.

    Claims its version of `releases` and its sequence numbers, and ends what it replaces, in the same transaction.
    """
    proposal = release.proposal
    if proposal is None:
        raise ValueError("a release starts by its proposal")
    claim = {"role": "releases", "version": proposal.version, "release_id": release.id}
    connection.execute(role_versions.insert(), claim)
    told = {o.variant: _claim(connection, release, o.variant) for o in release.manifests}
    _displace(connection, release, person, time)
    approved = following(last, release.id, time, person, Kind.RELEASED, {})
    return approved, following(approved, release.id, time, person, Kind.STARTED, {"variants": told})


def outdate(connection: sa.Connection, fleet: str, by: Event) -> None:
    """Drafts of the fleet that wait for approval are superseded by the newer one that ``by`` drafted."""
    others = sa.select(releases.c.id).where(releases.c.fleet == fleet, releases.c.id != by.release_id)
    for other in connection.scalars(others.order_by(releases.c.counter)).all():
        log = events.read(connection, other)
        if replay(log).state == State.WAITING_FOR_APPROVAL:
            payload = {"by": by.release_id}
            events.append(connection, [following(log[-1], other, by.time, by.actor, Kind.SUPERSEDED, payload)])


def _claim(connection: sa.Connection, release: Release, variant: str) -> dict[str, Any]:
    """The variant's next sequence number, and what it was told before."""
    same = (publications.c.fleet == release.fleet, publications.c.variant == variant)
    last = connection.execute(sa.select(publications).where(*same).order_by(publications.c.sequence.desc())).first()
    sequence = last.sequence + 1 if last else 1
    connection.execute(
        publications.insert(), {"fleet": release.fleet, "variant": variant, "sequence": sequence, "release_id": release.id}
    )
    if last is None:
        return {"sequence": sequence, "previous": None}
    before = replay(events.read(connection, last.release_id))
    way = {"sequence": last.sequence, "version": before.model_version, "sha256": before.offer(variant).artefact_sha256}
    return {"sequence": sequence, "previous": way}


def _displace(connection: sa.Connection, release: Release, person: str, time: str) -> None:
    """Older releases of the fleet lose the variants that this one takes; those that have nothing left are superseded."""
    others = sa.select(releases.c.id).where(releases.c.fleet == release.fleet, releases.c.id != release.id)
    taken = [o.variant for o in release.manifests]
    for other in connection.scalars(others.order_by(releases.c.counter)).all():
        log = events.read(connection, other)
        old, new = replay(log), []
        payload: dict[str, Any] = {"by": release.id}
        if old.state in OFFERED and any(o.live and o.variant in taken for o in old.manifests):
            new.append(following(log[-1], other, time, person, Kind.DISPLACED, payload | {"variants": taken}))
            old = apply(old, new[-1])
        outdated = old.counter < release.counter and old.state not in OFFERED
        if old.open and (outdated or (old.state in OFFERED and not any(o.live for o in old.manifests))):
            new.append(following(new[-1] if new else log[-1], other, time, person, Kind.SUPERSEDED, payload))
        if new:
            events.append(connection, new)
