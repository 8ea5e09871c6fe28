"""Read what devices of a variant reported, and when they were last heard, as the columns that gates weigh."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

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
from registry.rollout.members import in_groups
from registry.rollout.release import Offer, Release

_BATCH = 100_000
"""Rows that are held as Python objects at a time."""


def watch(connection: sa.Connection, release: Release, offer: Offer, groups: Iterable[Group]) -> Watched:
    """The variant's devices as the inventory has them now; ``groups``: those that its firmware range takes."""
    c = health.c
    same = sa.and_(c.device_id == devices.c.device_id, c.rollout_id == release.id, c.variant == offer.variant)
    numbers = [
        _fate(release, offer),
        sa.case((sa.or_(c.device_id.is_(None), sa.and_(c.self_test_passed, c.errors == 0)), 1), else_=0),
        *(sa.func.coalesce(column, 0) for column in (c.first_at, c.settled_at, presence.c.last_seen)),
        *(sa.func.coalesce(c[name], ABSENT) for name in METRICS),
    ]
    query = (
        sa.select(devices.c.device_id, *numbers)
        .select_from(devices.outerjoin(health, same).outerjoin(presence, presence.c.device_id == devices.c.device_id))
        .where(in_groups(groups), devices.c.device_id.not_in(release.pinned))
        .order_by(devices.c.device_id)
    )
    ids, (fate, sound, first_at, settled_at, seen_at, *metrics) = _columns(connection, query, len(numbers))
    bucket = buckets(release.id, ids)
    late = np.isin(np.array(ids, dtype=object), offer.deferred) if offer.deferred else np.zeros(len(ids), bool)
    bucket[late] = np.maximum(bucket[late], offer.stages[0].upto)
    return Watched(
        bucket=bucket,
        fate=fate.astype(np.int8),
        first_at=first_at,
        settled_at=settled_at,
        seen_at=seen_at,
        sound=sound.astype(bool),
        metrics=dict(zip(METRICS, metrics, strict=True)),
    )


def still_on(connection: sa.Connection, release: Release, offer: Offer) -> int:
    """Devices that run the variant's artefact by their last word, or have begun to try it and not said how that went."""
    runs = health.c.outcome.in_(sorted(RUNS)) & (health.c.running_sha256 == offer.artefact_sha256)
    same = (health.c.rollout_id == release.id, health.c.variant == offer.variant)
    query = sa.select(sa.func.count()).where(*same, runs | (health.c.outcome == "started"))
    return connection.scalar(query) or 0


def _fate(release: Release, offer: Offer) -> sa.ColumnElement[int]:
    """A device that says it is done runs the artefact and passed its self-test, or it is not.

    What it says of its health later, running something else, does not undo that it went back or refused. How an attempt
    failed is not known any more then, so that it may be one that passes.
    """
    c, most = health.c, release.rules.max_attempts
    retrying = sa.case((c.attempt < most, Fate.RETRYING.value), else_=Fate.FAILED.value)
    runs = c.outcome.in_(sorted(RUNS)) & (c.running_sha256 == offer.artefact_sha256)
    went_back = c.reverted_at.is_not(None) | c.rejected_at.is_not(None) | c.installed_at.is_not(None)
    return sa.case(
        (c.device_id.is_(None), Fate.SILENT.value),
        (runs & c.self_test_passed, Fate.OK.value),
        (runs, Fate.FAILED.value),
        (c.outcome.in_(sorted(FAILURES)) & c.reason.in_(sorted(PASSING)), retrying),
        (c.outcome.in_(sorted(FAILURES)), Fate.FAILED.value),
        # Installed, but something else runs: it fell back at its boot and does not know.
        (c.outcome == "installed", Fate.FAILED.value),
        ((c.outcome == "running") & went_back, Fate.FAILED.value),
        ((c.outcome == "running") & c.failed_at.is_not(None), retrying),
        else_=Fate.STARTED.value,
    )


def _columns(connection: sa.Connection, query: sa.Select[Any], count: int) -> tuple[list[str], Sequence[NDArray[np.int64]]]:
    """(device ids, so many (devices,) columns). Driver rows instead of result objects: a fleet may have a million devices."""
    cursor = connection.execute(query).cursor
    ids: list[str] = []
    parts: list[NDArray[np.int64]] = [np.empty((count, 0), np.int64)]
    while cursor is not None and (rows := cursor.fetchmany(_BATCH)):
        names, *values = zip(*rows, strict=True)
        ids += names
        parts.append(np.array(values, np.int64))
    return ids, list(np.concatenate(parts, axis=1))
