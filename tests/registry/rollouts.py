"""A fleet that is large enough for gates to decide, and what its devices say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from components.workspace import Workspace, open_workspace
from registry import rollout
from registry.contract.cohort import bucket
from registry.contract.times import utc_now
from registry.database import devices, open_database, reading, writing
from registry.health.tables import health, presence
from registry.inventory import import_devices
from registry.rollout import Release
from tests.registry.workspaces import HEADER, make_workspace, release

START = utc_now()
VARIANT = "gateway-v2"
SITES = 80


def large(root: Path, count: int = 400, *, policy: str = "", gates: str = "", canary: float = 0.2) -> Workspace:
    """Fleet north with so many gateways at 80 sites, and stages that gates decide. ``policy``, ``gates``: more lines of each."""
    rows = [f"gw-{i:04},north,gateway,2.1.0,plant-{i % SITES},," for i in range(count)]
    make_workspace(root, devices="\n".join([HEADER, *rows]) + "\n")
    text = (root / "muster.yaml").read_text()
    stages = f"""release:
  stages:
    - {{name: canary, share: {canary}, soak_s: 3600, waves: 4}}
    - {{name: half, share: 0.5, soak_s: 3600}}
    - {{name: all, share: 1.0, soak_s: 3600}}
{policy}  gates: {{report_deadline_s: 86400{gates}}}
"""
    (root / "muster.yaml").write_text(text[: text.index("release:")] + stages)
    workspace = open_workspace(root)
    import_devices(workspace)
    return workspace


def started(workspace: Workspace, *, number: int = 1, label: str = "a", now: datetime = START) -> Release:
    return release(workspace, number, label, now=now)


def after(**time: float) -> datetime:
    return START + timedelta(**time)


def let_in(workspace: Workspace, release_id: str, variant: str = VARIANT) -> list[str]:
    """Devices under the variant's cut, in the order in which they were let in."""
    offer = rollout.show_release(workspace, release_id).offer(variant)
    with reading(open_database(workspace.database_url)) as connection:
        ids = connection.scalars(sa.select(devices.c.device_id).where(devices.c.hardware_profile == offer.profile)).all()
    place = {i: bucket(release_id, i) for i in ids}
    place |= {i: max(place[i], offer.stages[0].upto) for i in offer.deferred}
    return sorted((i for i in ids if place[i] < offer.cuts[-1].upto), key=place.__getitem__)


def alive(workspace: Workspace, device_ids: Iterable[str], at: datetime) -> None:
    """Devices that were heard of in some other way."""
    rows = [{"device_id": i, "last_seen": int(at.timestamp()), "counter": 1, "via": ""} for i in device_ids]
    with writing(open_database(workspace.database_url)) as connection:
        connection.execute(presence.insert(), rows)


def say(workspace: Workspace, release_id: str, outcome: str, device_ids: Sequence[str], at: datetime, **facts: object) -> None:
    """The latest word of these devices in the release."""
    found = rollout.show_release(workspace, release_id)
    offer = found.offer(str(facts.get("variant", VARIANT)))
    seconds = int(at.timestamp())
    same = {
        "rollout_id": release_id,
        "variant": VARIANT,
        "generation": 1,
        "attempt": 1,
        "counter": 1,
        "sequence_number": offer.sequence,
        "outcome": outcome,
        "reason": "self_test_failed" if outcome in ("failed", "reverted") else None,
        "running_sha256": offer.artefact_sha256 if outcome in ("installed", "running") else None,
        "self_test_passed": outcome in ("installed", "running"),
        "errors": 0,
        "latency_us": None,
        "drift_milli": None,
        "anomaly_milli": None,
        "boot_id": "b1",
        "first_at": seconds,
        "settled_at": seconds,
        "reports": 1,
    } | facts
    rows = [same | {"device_id": i, "bucket": bucket(release_id, i)} for i in device_ids]
    with writing(open_database(workspace.database_url)) as connection:
        connection.execute(sa.delete(health).where(health.c.rollout_id == release_id, health.c.device_id.in_(device_ids)))
        if rows:
            connection.execute(health.insert(), rows)


def walk(workspace: Workspace, release_id: str, *, hours: int, bad: int = 0, from_hour: int = 0) -> Release:
    """Tick every hour; every device that was let in has reported by then, every ``bad``-th of them a failure."""
    told: set[str] = set()
    for hour in range(from_hour, from_hour + hours):
        fresh = [d for d in let_in(workspace, release_id) if d not in told]
        failing = [d for i, d in enumerate(fresh, len(told)) if bad and i % bad == 0]
        say(workspace, release_id, "failed", failing, after(hours=hour, minutes=30))
        say(workspace, release_id, "installed", [d for d in fresh if d not in failing], after(hours=hour, minutes=30))
        told.update(fresh)
        rollout.tick(workspace, now=after(hours=hour + 1))
    return rollout.show_release(workspace, release_id)
