"""Devices whose firmware is too old for every model, and the release that would change that."""

from __future__ import annotations

import sqlalchemy as sa
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from components.workspace.release_settings import Fleet
from registry.database import releases
from registry.inventory import Group
from registry.rollout import events
from registry.rollout.members import takes
from registry.rollout.replaying import replay
from registry.rollout.states import State

_GONE = frozenset({State.APPROVAL_DENIED, State.SUPERSEDED, State.CANCELLED, State.EXPIRED, State.ABORTED, State.ROLLED_BACK})


def is_too_old(fleet: Fleet, group: Group) -> bool:
    """Whether no variant takes the firmware, and each takes later ones."""
    firmware = Version(group.firmware)
    lowest = [
        Version(s.version) for v in fleet.variants for s in SpecifierSet(v.firmware) if s.operator in (">=", ">", "~=", "==")
    ]
    return group.variant is None and bool(lowest) and firmware < min(lowest)


def bringing_in(connection: sa.Connection, fleet: Fleet, group: Group) -> str:
    """The newest release of a firmware that these devices may install and a variant of the fleet takes, or ''."""
    query = sa.select(releases.c.id).where(releases.c.fleet == fleet.name).order_by(releases.c.counter.desc())
    for release_id in connection.scalars(query).all():
        release = replay(events.read(connection, release_id))
        if release.kind != "firmware" or release.state in _GONE:
            continue
        if any(takes(o, group) and _fits(fleet, o.firmware_version) for o in release.manifests):
            return release.id
    return ""


def _fits(fleet: Fleet, firmware: str) -> bool:
    return any(SpecifierSet(v.firmware).contains(Version(firmware), prereleases=True) for v in fleet.variants)
