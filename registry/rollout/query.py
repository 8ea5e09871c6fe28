"""Read releases back from the log."""

from __future__ import annotations

import sqlalchemy as sa

from components.workspace import Workspace
from components.workspace.errors import NotFound
from registry.database import open_database, reading, releases
from registry.rollout import events
from registry.rollout.events import Event
from registry.rollout.release import Release
from registry.rollout.replaying import replay


def list_releases(workspace: Workspace, *, fleet: str | None = None) -> list[Release]:
    """Every release, the newest last."""
    query = sa.select(releases.c.id).order_by(releases.c.fleet, releases.c.counter)
    if fleet is not None:
        query = query.where(releases.c.fleet == fleet)
    with reading(open_database(workspace.database_url)) as connection:
        return [replay(events.read(connection, i)) for i in connection.scalars(query).all()]


def show_release(workspace: Workspace, release_id: str) -> Release:
    """Raises NotFound for an id that no release has."""
    return replay(history(workspace, release_id))


def history(workspace: Workspace, release_id: str) -> tuple[Event, ...]:
    """The events of a release, oldest first, their chain verified.

    Raises:
        NotFound: no such release.
        VerificationFailed: the log was tampered with.
    """
    with reading(open_database(workspace.database_url)) as connection:
        found = events.read(connection, release_id)
    if not found:
        raise NotFound(f"there is no release '{release_id}'", hint="muster release list shows their ids")
    return found
