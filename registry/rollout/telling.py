"""Append what happened to a release, and give every variant that devices hear of it a new sequence number."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from registry.contract.times import stamp
from registry.database import publications
from registry.rollout import events
from registry.rollout.events import Event, following
from registry.rollout.release import Release
from registry.rollout.replaying import apply
from registry.rollout.states import Kind

_UNHEARD = frozenset({Kind.HELD, Kind.RESUMPTION_APPROVED, Kind.ROLLED_BACK})
"""Devices are told the same before and after."""


def tell(
    connection: sa.Connection,
    release: Release,
    last: Event,
    kind: Kind,
    variants: Mapping[str, Mapping[str, Any]],
    actor: str,
    reason: str,
    now: datetime,
) -> tuple[Release, Event]:
    """The release after one more event about ``variants`` (variant -> facts), stored in this transaction.

    Raises:
        Conflict: the event cannot happen now, or another writer was first.
    """
    told = {
        v: dict(facts) | ({} if kind in _UNHEARD or not release.started else {"sequence": next_sequence(connection, release, v)})
        for v, facts in sorted(variants.items())
    }
    event = following(last, release.id, stamp(now), actor, kind, {"variants": told, "reason": reason})
    after = apply(release, event)
    events.append(connection, [event])
    return after, event


def next_sequence(connection: sa.Connection, release: Release, variant: str) -> int:
    """Claim the variant's next sequence number; only one writer gets it."""
    same = (publications.c.fleet == release.fleet, publications.c.variant == variant)
    sequence = (connection.scalar(sa.select(sa.func.max(publications.c.sequence)).where(*same)) or 0) + 1
    row = {"fleet": release.fleet, "variant": variant, "sequence": sequence, "release_id": release.id}
    connection.execute(publications.insert(), row)
    return sequence
