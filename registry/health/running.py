"""Which model a device runs, as far as it has said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from components.workspace import Workspace
from registry.contract.report import RUNS
from registry.database import open_database, reading
from registry.health.lookups import among
from registry.health.tables import health
from registry.rollout import events
from registry.rollout.release import Release
from registry.rollout.replaying import replay


@dataclass(frozen=True)
class Running:
    """``model``: 'pumps 3', or the digest's beginning where no release is known to have offered it; ``at``: seconds UTC."""

    sha256: str
    model: str
    at: int


def running(workspace: Workspace, device_ids: Iterable[str]) -> dict[str, Running]:
    """Device -> what its latest report said that runs. Who never said is not in it."""
    with reading(open_database(workspace.database_url)) as connection:
        columns = (health.c.device_id, health.c.rollout_id, health.c.running_sha256, health.c.settled_at)
        said = health.c.outcome.in_(sorted(RUNS)) & health.c.running_sha256.is_not(None)
        query = sa.select(*columns).where(said, among(connection, health.c.device_id, device_ids))
        rows = connection.execute(query.order_by(health.c.settled_at, health.c.rollout_id)).all()
        found = {i: replay(events.read(connection, i)) for i in sorted({row.rollout_id for row in rows})}
    models = {i: release for i, release in found.items() if release.kind == "model"}
    latest = {row.device_id: row for row in rows if row.rollout_id in models}
    names = {sha256: name for release in models.values() for sha256, name in _names(release).items()}
    return {
        device: Running(row.running_sha256, names.get(row.running_sha256, row.running_sha256[:12]), row.settled_at)
        for device, row in latest.items()
    }


def _names(release: Release) -> dict[str, str]:
    """Digest -> model of everything that the release offers, or goes back to."""
    found = {o.previous.sha256: f"{o.previous.model_name} {o.previous.version}" for o in release.manifests if o.previous}
    return found | {o.artefact_sha256: f"{release.model_name} {release.model_version}" for o in release.manifests}
