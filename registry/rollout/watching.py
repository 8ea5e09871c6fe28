"""Read what devices of a variant reported, and when they were last heard, as the columns that gates weigh."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from registry.contract.cohort import buckets
from registry.contract.reasons import PASSING
from registry.contract.report import FAILURES, RUNS
from registry.database import devices
from registry.health.tables import health, presence
from registry.inventory import Group
from registry.rollout.evidence import ABSENT, METRICS, Fate, Watched
from registry.rollout.members import members
from registry.rollout.release import Offer, Release

_COLUMNS = ("device_id", "outcome", "reason", "running_sha256", "self_test_passed", "attempt", "first_at", "settled_at", *METRICS)


def watch(connection: sa.Connection, release: Release, offer: Offer, groups: Iterable[Group]) -> Watched:
    """The variant's devices as the inventory has them now; ``groups``: those that its firmware range takes."""
    ids = members(connection, groups, without=release.pinned)
    place = {device: i for i, device in enumerate(ids)}
    columns = {name: np.zeros(len(ids), np.int64) for name in ("first_at", "settled_at", "seen_at")}
    metrics = {name: np.full(len(ids), ABSENT, np.int64) for name in METRICS}
    fate, sound = np.zeros(len(ids), np.int8), np.ones(len(ids), bool)
    query = sa.select(*(health.c[c] for c in _COLUMNS)).where(
        health.c.rollout_id == release.id, health.c.variant == offer.variant
    )
    said = [row for row in connection.execute(query).all() if row.device_id in place]
    if said:
        at = np.array([place[row.device_id] for row in said])
        fate[at] = [_fate(row, offer.artefact_sha256, release.rules.max_attempts) for row in said]
        sound[at] = [row.self_test_passed and not row.errors for row in said]
        for name in ("first_at", "settled_at"):
            columns[name][at] = [getattr(row, name) for row in said]
        for name in METRICS:
            metrics[name][at] = [ABSENT if (value := getattr(row, name)) is None else value for row in said]
    _see(connection, release.fleet, place, columns["seen_at"])
    bucket = buckets(release.id, ids)
    late = [place[d] for d in offer.deferred if d in place]
    bucket[late] = np.maximum(bucket[late], offer.stages[0].upto)
    return Watched(bucket=bucket, fate=fate, sound=sound, metrics=metrics, **columns)


def still_on(connection: sa.Connection, release: Release, offer: Offer) -> int:
    """Devices that run the variant's artefact by their last word, or have begun to try it and not said how that went."""
    runs = health.c.outcome.in_(sorted(RUNS)) & (health.c.running_sha256 == offer.artefact_sha256)
    same = (health.c.rollout_id == release.id, health.c.variant == offer.variant)
    query = sa.select(sa.func.count()).where(*same, runs | (health.c.outcome == "started"))
    return connection.scalar(query) or 0


def _fate(row: sa.Row[tuple[object, ...]], sha256: str, attempts: int) -> Fate:
    """A device that says it is done runs the artefact and passed its self-test, or it is not."""
    if row.outcome in RUNS and row.running_sha256 == sha256:
        return Fate.OK if row.self_test_passed else Fate.FAILED
    if row.outcome in FAILURES:
        return Fate.RETRYING if row.reason in PASSING and row.attempt < attempts else Fate.FAILED
    # Installed, but something else runs: it fell back at its boot and does not know.
    return Fate.FAILED if row.outcome == "installed" else Fate.STARTED


def _see(connection: sa.Connection, fleet: str, place: dict[str, int], seen_at: NDArray[np.int64]) -> None:
    query = sa.select(presence.c.device_id, presence.c.last_seen).join(devices, devices.c.device_id == presence.c.device_id)
    found = [(place[i], at) for i, at in connection.execute(query.where(devices.c.fleet == fleet)).all() if i in place]
    if found:
        index, times = zip(*found, strict=True)
        seen_at[np.array(index)] = times
