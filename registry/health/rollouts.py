"""What a report is held against: the variants of a release that devices were told, as their manifests say it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from registry.contract.manifest import Cohort
from registry.database import events as log
from registry.rollout import events
from registry.rollout.manifests import manifest_of
from registry.rollout.replaying import replay


@dataclass(frozen=True)
class Offered:
    """``withdrawn``: what devices are told to leave, in a rollback; ``upto``: the cut of the stage that is active now
    (registry/contract/cohort.py).
    """

    profile: str
    firmware: str
    sha256: str
    withdrawn: str | None
    cohort: Cohort
    upto: int


@dataclass(frozen=True)
class Rollout:
    fleet: str
    variants: dict[str, Offered]


class Rollouts:
    """Rollouts by id, read again only when their log has grown."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Rollout]] = {}

    def read(self, connection: sa.Connection, ids: Iterable[str]) -> dict[str, Rollout]:
        """Those of ``ids`` that devices were told of.

        Raises:
            VerificationFailed: a log was tampered with.
        """
        newest = sa.select(log.c.release_id, sa.func.max(log.c.revision).label("revision")).group_by(log.c.release_id)
        last = newest.where(log.c.release_id.in_(sorted(ids))).subquery()
        same = sa.and_(log.c.release_id == last.c.release_id, log.c.revision == last.c.revision)
        for row in connection.execute(sa.select(log.c.release_id, log.c.hash).join(last, same)).all():
            if self._known.get(row.release_id, ("",))[0] != row.hash:
                self._known[row.release_id] = row.hash, _rollout(connection, row.release_id)
        return {i: self._known[i][1] for i in ids if i in self._known and self._known[i][1].variants}


def _rollout(connection: sa.Connection, release_id: str) -> Rollout:
    release = replay(events.read(connection, release_id))
    told = (manifest_of(release, offer) for offer in release.manifests if offer.created)
    return Rollout(
        release.fleet,
        {
            m.firmware_variant: Offered(
                m.compatibility.hardware_ids[0],
                m.compatibility.firmware_version,
                m.artifact.sha256,
                m.withdrawn,
                m.cohort,
                m.upto,
            )
            for m in told
        },
    )
