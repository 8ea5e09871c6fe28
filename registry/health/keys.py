"""The history of devices' keys: append-only, one row a change, the latest row of a device says what counts now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from registry.health.tables import ACTIVE, enrolments

_CHUNK = 10_000
"""Bound parameters a query; SQLite takes 32,766, PostgreSQL 65,535."""


@dataclass(frozen=True)
class Enrolment:
    """``public_key``: ed25519, 64 hex digits; ``state``: active, revoked or replaced; ``revision`` counts from 1 a device."""

    device_id: str
    revision: int
    public_key: str
    state: str
    time: str
    actor: str
    reason: str

    @property
    def active(self) -> bool:
        return self.state == ACTIVE


def history(connection: sa.Connection, device_ids: Sequence[str]) -> dict[str, tuple[Enrolment, ...]]:
    """Device -> all that happened to its keys, oldest first; who never enrolled is not in it."""
    found: dict[str, list[Enrolment]] = {}
    for start in range(0, len(device_ids), _CHUNK):
        query = sa.select(enrolments).where(enrolments.c.device_id.in_(device_ids[start : start + _CHUNK]))
        for row in connection.execute(query.order_by(enrolments.c.device_id, enrolments.c.revision)):
            found.setdefault(row.device_id, []).append(Enrolment(*row))
    return {device: tuple(rows) for device, rows in found.items()}


def current(connection: sa.Connection, device_ids: Sequence[str]) -> dict[str, Enrolment]:
    """Device -> its latest entry."""
    return {device: rows[-1] for device, rows in history(connection, device_ids).items()}


def owners(connection: sa.Connection, public_keys: Sequence[str]) -> dict[str, str]:
    """Key -> the device that has or had it."""
    found: dict[str, str] = {}
    for start in range(0, len(public_keys), _CHUNK):
        query = sa.select(enrolments.c.public_key, enrolments.c.device_id)
        chosen = query.where(enrolments.c.public_key.in_(public_keys[start : start + _CHUNK]))
        found |= {row.public_key: row.device_id for row in connection.execute(chosen)}
    return found


def append(connection: sa.Connection, new: Iterable[Enrolment]) -> None:
    """Store entries that follow what the writer read; the transaction fails with Conflict if another came first."""
    if rows := [asdict(e) for e in new]:
        connection.execute(enrolments.insert(), rows)
