"""Columns for those who decide on a release: what each device said last in a rollout, and when it was last heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from registry.database import devices
from registry.health.lookups import among
from registry.health.tables import health, presence

ABSENT = -1


@dataclass(frozen=True)
class Rows:
    """One entry a device that reported in the rollout, in the order of device ids.

    Text columns are (devices,) object arrays of str, the others (devices,) int64; times in seconds UTC of the server,
    latency in microseconds, drift and anomalies in thousandths, -1 where a device said nothing.
    """

    device_id: NDArray[np.object_]
    variant: NDArray[np.object_]
    bucket: NDArray[np.int64]
    outcome: NDArray[np.object_]
    attempt: NDArray[np.int64]
    first_at: NDArray[np.int64]
    settled_at: NDArray[np.int64]
    errors: NDArray[np.int64]
    latency_us: NDArray[np.int64]
    drift_milli: NDArray[np.int64]
    anomaly_milli: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.device_id)


_TEXT = frozenset({"device_id", "variant", "outcome"})


def health_rows(connection: sa.Connection, rollout_id: str) -> Rows:
    """What every device that reported in the rollout said last."""
    names = tuple(Rows.__dataclass_fields__)
    columns = (health.c[n] if not health.c[n].nullable else sa.func.coalesce(health.c[n], ABSENT) for n in names)
    query = sa.select(*columns).where(health.c.rollout_id == rollout_id).order_by(health.c.device_id)
    found = connection.execute(query).all()
    values = zip(*found, strict=True) if found else ((),) * len(names)
    return Rows(*(np.array(v, object if n in _TEXT else np.int64) for n, v in zip(names, values, strict=True)))


def last_seen(connection: sa.Connection, of: str | Sequence[str]) -> dict[str, int]:
    """Device -> seconds UTC at which it was last heard; who never was is not in it. ``of``: a fleet's name, or device ids."""
    query = sa.select(presence.c.device_id, presence.c.last_seen)
    if isinstance(of, str):
        query = query.join(devices, devices.c.device_id == presence.c.device_id).where(devices.c.fleet == of)
    else:
        query = query.where(among(connection, presence.c.device_id, of))
    return {device: seen for device, seen in connection.execute(query).all()}  # noqa: C416 -- rows, not pairs
