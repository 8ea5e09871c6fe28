"""What a person asks of a fleet's health: outcomes by variant, who is silent, what was refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import sqlalchemy as sa

from components.workspace import Workspace
from components.workspace.errors import NotFound
from registry.contract.cohort import buckets
from registry.database import open_database, reading
from registry.health.counts import health_rows, last_seen
from registry.health.tables import rejections
from registry.inventory import count_devices, devices_of
from registry.rollout import list_releases
from registry.rollout.manifests import manifest_of
from registry.rollout.members import takes
from registry.rollout.release import Offer, Release


@dataclass(frozen=True)
class VariantHealth:
    """``cohort``: devices of the active stage; ``silent``: those of them that never reported in this rollout."""

    variant: str
    cohort: int
    outcomes: dict[str, int]
    silent: tuple[str, ...]


@dataclass(frozen=True)
class ReleaseHealth:
    release: str
    fleet: str
    state: str
    variants: tuple[VariantHealth, ...]


@dataclass(frozen=True)
class Rejections:
    """Deliveries that were refused; ``fleet`` and ``release`` are empty where the sender named none of ours."""

    fleet: str
    release: str
    reason: str
    deliveries: int
    last_at: int


@dataclass(frozen=True)
class FleetHealth:
    """``last_seen``: silent device -> seconds UTC at which it was last heard in any rollout; who never was is not in it."""

    releases: tuple[ReleaseHealth, ...]
    rejections: tuple[Rejections, ...]
    last_seen: dict[str, int]


def fleet_health(workspace: Workspace, fleet: str | None = None, release: str | None = None) -> FleetHealth:
    """Of one release, or of what is offered now to one fleet or to all.

    Raises:
        NotFound: no such fleet or release, or the release has told devices nothing yet.
    """
    chosen = [r for r in list_releases(workspace, fleet=fleet) if r.started and (r.id == release if release else _live(r))]
    if release and not chosen:
        raise NotFound(f"no release '{release}' was started", hint="muster release list shows their ids and states")
    fleets = [f.name for f in workspace.settings.fleets]
    if fleet is not None and fleet not in fleets:
        raise NotFound(f"no such fleet: '{fleet}'", hint=f"there are: {', '.join(fleets)}")
    with reading(open_database(workspace.database_url)) as connection:
        found = tuple(_health(workspace, connection, r) for r in chosen)
        silent = [device for r in found for v in r.variants for device in v.silent]
        asked = {r.fleet for r in chosen} if release else {fleet} if fleet else set(fleets)
        return FleetHealth(found, _rejections(connection, {"", *asked}, release), last_seen(connection, silent))


def _live(release: Release) -> bool:
    return any(offer.live for offer in release.manifests)


def _health(workspace: Workspace, connection: sa.Connection, release: Release) -> ReleaseHealth:
    rows = health_rows(connection, release.id)
    outcomes: dict[str, Counter[str]] = {}
    for variant, outcome in zip(rows.variant, rows.outcome, strict=True):
        outcomes.setdefault(variant, Counter())[outcome] += 1
    heard = set(rows.device_id)
    variants = []
    for offer in release.manifests:
        cohort = _cohort(workspace, release, offer)
        silent = tuple(device for device in cohort if device not in heard)
        variants.append(
            VariantHealth(offer.variant, len(cohort), dict(sorted(outcomes.get(offer.variant, Counter()).items())), silent)
        )
    return ReleaseHealth(release.id, release.fleet, release.state.value, tuple(variants))


def _cohort(workspace: Workspace, release: Release, offer: Offer) -> list[str]:
    """Devices of the inventory that the manifest's active stage reaches."""
    manifest = manifest_of(release, offer)
    groups = [g for g in count_devices(workspace, fleet=release.fleet) if takes(offer, g)]
    devices = devices_of(workspace, groups)
    inside = buckets(manifest.cohort.salt, devices) < manifest.upto
    later = set(offer.deferred) if manifest.upto <= manifest.cohort.deferred_to else set()
    return [device for device, is_inside in zip(devices, inside, strict=True) if is_inside and device not in later]


def _rejections(connection: sa.Connection, fleets: set[str], release: str | None) -> tuple[Rejections, ...]:
    query = sa.select(rejections).where(rejections.c.fleet.in_(fleets))
    if release is not None:
        query = query.where(rejections.c.rollout_id.in_(["", release]))
    rows = connection.execute(query.order_by(rejections.c.fleet, rejections.c.rollout_id, rejections.c.reason))
    return tuple(Rejections(*row) for row in rows.all())
