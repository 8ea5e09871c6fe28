"""The event log: append-only, one hash chain a release, one writer a revision.

An event's hash covers everything it says and the hash before it, so a changed byte, a missing or a swapped event
shows; `releases.head` is the last hash, so that events missing at the end show, too. Whoever writes the whole chain anew
is caught by the manifests, which carry the hash of the event that told them under a signature. Appending names the
revision that the writer saw; the database takes each (release, revision) once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from components.workspace.errors import VerificationFailed
from components.workspace.files import sha256_json
from registry.database import events as table
from registry.database import releases
from registry.rollout.states import Kind

GENESIS = "0" * 64


@dataclass(frozen=True)
class Event:
    """``revision`` counts from 1 in each release; ``time`` is a UTC stamp; ``payload`` is JSON."""

    release_id: str
    revision: int
    time: str
    actor: str
    kind: Kind
    payload: dict[str, Any]
    prev_hash: str
    hash: str

    def computed_hash(self) -> str:
        return sha256_json(
            [self.release_id, self.revision, self.time, self.actor, self.kind, self.payload, self.prev_hash],
        )


def following(before: Event | None, release_id: str, time: str, actor: str, kind: Kind, payload: dict[str, Any]) -> Event:
    """The next event of a chain, not yet stored."""
    revision, prev_hash = (before.revision + 1, before.hash) if before else (1, GENESIS)
    draft = Event(release_id, revision, time, actor, kind, payload, prev_hash, "")
    return Event(release_id, revision, time, actor, kind, payload, prev_hash, draft.computed_hash())


def append(connection: sa.Connection, new: Sequence[Event]) -> None:
    """Store events that follow what the writer read; the transaction fails with Conflict if another came first."""
    rows = [
        {
            "release_id": e.release_id,
            "revision": e.revision,
            "time": e.time,
            "actor": e.actor,
            "kind": e.kind.value,
            "payload": _text(e.payload),
            "prev_hash": e.prev_hash,
            "hash": e.hash,
        }
        for e in new
    ]
    connection.execute(table.insert(), rows)
    heads = {e.release_id: e.hash for e in new}
    for release_id, head in heads.items():
        connection.execute(releases.update().where(releases.c.id == release_id).values(head=head))


def read(connection: sa.Connection, release_id: str) -> tuple[Event, ...]:
    """All events of a release in order, with their chain verified.

    Raises:
        VerificationFailed: an event was changed, is missing, or stands in the wrong place.
    """
    # One statement: between two, a writer could append an event.
    query = sa.select(releases.c.head, table).outerjoin_from(releases, table, table.c.release_id == releases.c.id)
    rows = connection.execute(query.where(releases.c.id == release_id).order_by(table.c.revision)).all()
    events = tuple(_event(row) for row in rows if row.revision is not None)
    verify(release_id, events)
    if rows and rows[0].head != (events[-1].hash if events else ""):
        raise _tampered(release_id, f"it ends after event {len(events)}, which was not the last one")
    return events


def verify(release_id: str, events: tuple[Event, ...]) -> None:
    """Raises VerificationFailed at the first event whose chain does not hold."""
    before = GENESIS
    for revision, event in enumerate(events, start=1):
        good = event.release_id == release_id and event.revision == revision and event.prev_hash == before
        if not good or event.hash != event.computed_hash():
            raise _tampered(release_id, f"event {revision} does not fit its hash chain")
        before = event.hash


def _tampered(release_id: str, what: str) -> VerificationFailed:
    return VerificationFailed(
        f"the log of release '{release_id}' was tampered with: {what}",
        hint="restore the registry database from a backup; publish nothing from this one",
    )


def _text(payload: dict[str, Any]) -> str:
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _event(row: Any) -> Event:
    """Text that is not as it was written counts as changed, even where it means the same."""
    try:
        payload, kind = json.loads(row.payload), Kind(row.kind)
        readable = isinstance(payload, dict) and _text(payload) == row.payload
    except ValueError:
        payload, kind, readable = {}, Kind.DRAFTED, False
    if not readable:
        payload = {"unreadable": row.payload}
    return Event(row.release_id, row.revision, row.time, row.actor, kind, payload, row.prev_hash, row.hash)
