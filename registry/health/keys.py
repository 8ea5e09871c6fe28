"""The history of devices' keys: append-only, one row a change, the latest row of a device says what counts now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from registry.health.lookups import among
from registry.health.tables import ACTIVE, enrolments


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


def history(connection: sa.Connection, device_ids: Iterable[str]) -> dict[str, tuple[Enrolment, ...]]:
    """Device -> all that happened to its keys, oldest first; who never enrolled is not in it."""
    query = sa.select(enrolments).where(among(connection, enrolments.c.device_id, device_ids))
    found: dict[str, list[Enrolment]] = {}
    for row in connection.execute(query.order_by(enrolments.c.device_id, enrolments.c.revision)).all():
        found.setdefault(row.device_id, []).append(Enrolment(*row))
    return {device: tuple(rows) for device, rows in found.items()}


def current(connection: sa.Connection, device_ids: Iterable[str]) -> dict[str, Enrolment]:
    """Device -> its latest entry."""
    return {device: rows[-1] for device, rows in history(connection, device_ids).items()}


def owners(connection: sa.Connection, public_keys: Iterable[str]) -> dict[str, str]:
    """Key -> the device that has or had it."""
    query = sa.select(enrolments.c.public_key, enrolments.c.device_id)
    rows = connection.execute(query.where(among(connection, enrolments.c.public_key, public_keys)))
    return {row.public_key: row.device_id for row in rows.all()}


def append(connection: sa.Connection, new: Iterable[Enrolment]) -> None:
    """Store entries that follow what the writer read; the transaction fails with Conflict if another came first."""
    if rows := [asdict(e) for e in new]:
        connection.execute(enrolments.insert(), rows)
