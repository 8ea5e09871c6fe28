"""The event log: append-only, one hash chain a release, one writer a revision.

An event's hash covers everything it says and the hash before it, so a changed byte, a missing or a swapped event
shows. Appending names the revision that the writer saw; the database takes each (release, revision) once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from components.workspace.errors import VerificationFailed
from components.workspace.files import sha256_json
from registry.database import events as table
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


def append(connection: sa.Connection, new: Iterable[Event]) -> None:
    """Store events that follow what the writer read; the transaction fails with Conflict if another came first."""
    rows = [
        {
            "release_id": e.release_id,
            "revision": e.revision,
            "time": e.time,
            "actor": e.actor,
            "kind": e.kind.value,
            "payload": json.dumps(e.payload, sort_keys=True, separators=(",", ":"), allow_nan=False),
            "prev_hash": e.prev_hash,
            "hash": e.hash,
        }
        for e in new
    ]
    connection.execute(table.insert(), rows)


def read(connection: sa.Connection, release_id: str) -> tuple[Event, ...]:
    """All events of a release in order, with their chain verified.

    Raises:
        VerificationFailed: an event was changed, is missing, or stands in the wrong place.
    """
    query = sa.select(table).where(table.c.release_id == release_id).order_by(table.c.revision)
    events = tuple(_event(row) for row in connection.execute(query))
    verify(release_id, events)
    return events


def verify(release_id: str, events: tuple[Event, ...]) -> None:
    """Raises VerificationFailed at the first event whose chain does not hold."""
    before = GENESIS
    for revision, event in enumerate(events, start=1):
        good = event.release_id == release_id and event.revision == revision and event.prev_hash == before
        if not good or event.hash != event.computed_hash():
            raise VerificationFailed(
                f"the log of release '{release_id}' was tampered with: event {revision} does not fit its hash chain",
                hint="restore the registry database from a backup; publish nothing from this one",
            )
        before = event.hash


def _event(row: Any) -> Event:
    try:
        payload, kind = json.loads(row.payload), Kind(row.kind)
    except ValueError:
        payload, kind = {"unreadable": row.payload}, Kind.DRAFTED
    return Event(row.release_id, row.revision, row.time, row.actor, kind, payload, row.prev_hash, row.hash)
