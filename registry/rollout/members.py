"""The devices of a firmware variant, in columns, as the inventory has them.

A fleet may have a million devices: their ids come as one text, many times faster than as rows, from an index that has all
that is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from registry.database import devices
from registry.health.lookups import among
from registry.inventory import Group
from registry.inventory.devices import GROUPED
from registry.rollout.release import Offer


def takes(offer: Offer, group: Group) -> bool:
    """Whether an offer is for the devices of a group. Firmware is for those that have an older one, or have it by now."""
    if offer.kind == "model":
        return group.variant == offer.variant
    if offer.hardware_revisions and group.revision not in offer.hardware_revisions:
        return False
    fits = SpecifierSet(offer.firmware).contains(Version(group.firmware), prereleases=True)
    return group.profile == offer.profile and fits


def members(connection: sa.Connection, groups: Iterable[Group], *, without: Sequence[str] = ()) -> list[str]:
    """The ids of all devices in ``groups`` but those in ``without``, in no order. No id has a line feed."""
    query = sa.select(sa.func.aggregate_strings(devices.c.device_id, "\n")).where(in_groups(groups))
    text = connection.scalar(query)
    left_out = frozenset(without)
    ids = text.split("\n") if text else []
    return [i for i in ids if i not in left_out] if left_out else ids


def sites_of(connection: sa.Connection, device_ids: Sequence[str]) -> list[str]:
    """The site of each device, in the order of the ids."""
    query = sa.select(devices.c.device_id, devices.c.site).where(among(connection, devices.c.device_id, device_ids))
    site = {row.device_id: row.site for row in connection.execute(query)}
    return [site[i] for i in device_ids]


def count_sites(connection: sa.Connection, groups: Iterable[Group]) -> int:
    query = sa.select(sa.func.count(sa.distinct(devices.c.site))).where(in_groups(groups))
    return connection.scalar(query) or 0


def in_groups(groups: Iterable[Group]) -> sa.ColumnElement[bool]:
    return sa.tuple_(*GROUPED).in_([g.key for g in groups])
