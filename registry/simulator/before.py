"""What the registry knows of the devices when a rehearsal begins: who was heard of just before, and who has been off for long."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa

from registry.health import merging
from registry.health.lookups import among
from registry.health.tables import presence
from registry.simulator.crowd import Crowd
from registry.simulator.scenario import Offline, Scenario


def remember(connection: sa.Connection, crowd: Crowd, scenario: Scenario, start: int, rng: np.random.Generator) -> None:
    """``start``: seconds. Devices that are off were last heard of longer ago than anybody remembers."""
    off = np.array([*(isinstance(g, Offline) for g in scenario.groups), False])[crowd.group]
    gone = [crowd.ids[i] for i in np.flatnonzero(off)]
    connection.execute(sa.delete(presence).where(among(connection, presence.c.device_id, gone)))
    if scenario.heard_before:
        at = start - rng.integers(1, scenario.poll_s + 1, len(crowd))
        merging.join_presence(connection, [(crowd.ids[i], int(at[i]), 0, "", 0) for i in np.flatnonzero(~off)])
