"""The moment an approved release becomes what devices are told: numbers are claimed, and older releases step back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from registry.database import publications, releases, role_versions
from registry.rollout import events
from registry.rollout.events import Event, following
from registry.rollout.release import Offer, Release, Way
from registry.rollout.replaying import replay
from registry.rollout.states import OFFERED, Kind, State
from registry.rollout.telling import next_sequence

_GONE = frozenset({State.HALTED, State.ROLLING_BACK, State.ROLLED_BACK, State.ABORTED, State.CANCELLED, State.EXPIRED})
"""States of a release that nobody wants to go back to."""


def take_over(connection: sa.Connection, release: Release, last: Event, person: str, time: str) -> tuple[Event, Event]:
    """The two events that start an approved release, after ``last``.

    Claims its version of `releases` and its sequence numbers, and ends what it replaces, in the same transaction.
    """
    proposal = release.proposal
    if proposal is None:
        raise ValueError("a release starts by its proposal")
    claim = {"role": "releases", "version": proposal.version, "release_id": release.id}
    connection.execute(role_versions.insert(), claim)
    ways = ways_back(connection, release)
    told = {o.variant: _first(connection, release, o, ways.get(o.variant)) for o in release.manifests}
    _displace(connection, release, person, time)
    approved = following(last, release.id, time, person, Kind.RELEASED, {})
    return approved, following(approved, release.id, time, person, Kind.STARTED, {"variants": told})


def ways_back(connection: sa.Connection, release: Release) -> dict[str, Way]:
    """Variant -> what it would go back to: the newest that it was told and that was not taken back."""
    found = {}
    for offer in release.manifests:
        same = (publications.c.fleet == release.fleet, publications.c.variant == offer.variant)
        query = sa.select(publications).where(*same, publications.c.release_id != release.id)
        last = connection.execute(query.order_by(publications.c.sequence.desc())).first()
        if last is not None and (way := _way(connection, last.release_id, offer.variant)) is not None:
            found[offer.variant] = way
    return found


def outdate(connection: sa.Connection, fleet: str, by: Event, keep: Collection[str] = ()) -> None:
    """Drafts of the fleet, of the same line, that wait for approval are superseded by the newer one that ``by`` drafted.

    ``keep``: those that devices have to install before it.
    """
    others = sa.select(releases.c.id).where(releases.c.fleet == fleet, releases.c.id != by.release_id)
    line = replay([by]).line
    for other in connection.scalars(others.order_by(releases.c.counter)).all():
        log = events.read(connection, other)
        old = replay(log)
        if old.state == State.WAITING_FOR_APPROVAL and old.line == line and other not in keep:
            payload = {"by": by.release_id}
            events.append(connection, [following(log[-1], other, by.time, by.actor, Kind.SUPERSEDED, payload)])


def _way(connection: sa.Connection, release_id: str, variant: str) -> Way | None:
    before = replay(events.read(connection, release_id))
    offer = before.offer(variant)
    if offer.state in _GONE:
        return offer.previous
    return Way(
        sequence=offer.sequence,
        model_name=before.model_name,
        version=before.model_version,
        sha256=offer.artefact_sha256,
        length=offer.length,
        release_counter=before.counter,
        runtime=offer.runtime,
        runtime_minimal=offer.runtime_minimal,
        firmware_version=offer.firmware_version,
    )


def _first(connection: sa.Connection, release: Release, offer: Offer, way: Way | None) -> dict[str, Any]:
    """The first wave of the first stage, and the way back."""
    wave = offer.stages[0].waves[0]
    return {
        "sequence": next_sequence(connection, release, offer.variant),
        "upto": wave.upto,
        "devices": wave.quota,
        "previous": asdict(way) if way else None,
    }


def _displace(connection: sa.Connection, release: Release, person: str, time: str) -> None:
    """Older releases of the fleet lose the variants that this one takes; what they had not begun is superseded."""
    others = sa.select(releases.c.id).where(releases.c.fleet == release.fleet, releases.c.id != release.id)
    taken = {o.variant for o in release.manifests}
    for other in connection.scalars(others.order_by(releases.c.counter)).all():
        log = events.read(connection, other)
        old = replay(log)
        gone: dict[str, dict[str, Any]] = {
            o.variant: {} for o in old.manifests if o.variant in taken and o.live and o.state in OFFERED
        }
        if gone:
            payload = {"by": release.id, "variants": gone}
            events.append(connection, [following(log[-1], other, time, person, Kind.DISPLACED, payload)])
        elif old.line == release.line and old.counter < release.counter and old.open and not old.started:
            events.append(connection, [following(log[-1], other, time, person, Kind.SUPERSEDED, {"by": release.id})])
