"""What keeps a report from being counted twice is kept as long as it may come again, and no longer.

A release that nothing of is offered any more is closed so many days after the last that happened to it. From then on none of
its reports counts, not even a new one, and so none twice: the intake looks for closed releases in the transaction in which it
counts. What devices said (``health``) stays.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from components.workspace import Workspace
from registry.contract.times import parse_stamp, utc_now
from registry.database import open_database, reading, releases, writing
from registry.health import merging
from registry.health.tables import closed_rollouts, report_keys
from registry.rollout import events
from registry.rollout.replaying import replay


def close_ended(workspace: Workspace, *, now: datetime | None = None) -> tuple[str, ...]:
    """Close releases that ended `registry.reports.late_days` ago, and drop the keys of their reports; returns their ids.

    Raises:
        Conflict: the database is busy with another writer; the next call does it.
        VerificationFailed: a log was tampered with.
    """
    before = (now or utc_now()) - timedelta(days=workspace.settings.registry.reports.late_days)
    engine = open_database(workspace.database_url)
    with reading(engine) as connection:
        open_ones = sa.select(releases.c.id).where(releases.c.id.not_in(sa.select(closed_rollouts.c.rollout_id)))
        ended = [i for i in connection.scalars(open_ones.order_by(releases.c.id)) if _ended(connection, i, before)]
    for release_id in ended:
        with writing(engine) as connection:
            merging.serialize(connection)
            connection.execute(closed_rollouts.insert(), {"rollout_id": release_id})
            connection.execute(report_keys.delete().where(report_keys.c.rollout_id == release_id))
    return tuple(ended)


def _ended(connection: sa.Connection, release_id: str, before: datetime) -> bool:
    """What was displaced by another release is never offered again, so that an ended release stays so."""
    log = events.read(connection, release_id)
    release = replay(log)
    return not release.open and not any(o.live for o in release.manifests) and parse_stamp(log[-1].time) <= before
