"""Whose word counts for the firmware of a device: the inventory's, until the device says in a report that it has another.

From then on the device's word counts, until an import brings another value than the import before: somebody looked. An inventory
that nobody keeps up says the same old version again and again, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from components.workspace import Workspace
from registry.database import open_database, reading
from registry.health.lookups import among
from registry.health.tables import reported_firmware
from registry.inventory.devices import Device


@dataclass(frozen=True)
class Word:
    """What a device said at ``at``, seconds UTC, and what was ``imported`` before."""

    firmware_version: str
    imported: str
    at: int


def words(workspace: Workspace, device_ids: Iterable[str]) -> dict[str, Word]:
    """Device -> its own word, of those whose word counts."""
    with reading(open_database(workspace.database_url)) as connection:
        chosen = among(connection, reported_firmware.c.device_id, device_ids)
        return _words(connection, sa.select(reported_firmware).where(chosen))


def heeding(connection: sa.Connection, wanted: Mapping[str, Device], present: Iterable[str]) -> dict[str, Device]:
    """``wanted``, as an inventory says it, with the word of those devices of which it says nothing new.

    All other words are forgotten, as are those of devices that are ``present`` and no longer wanted.
    """
    known = {*wanted, *present}
    said = {i: word for i, word in _words(connection, sa.select(reported_firmware)).items() if i in known}
    kept = {i for i, word in said.items() if i in wanted and wanted[i].firmware_version == word.imported}
    gone = [{"gone": i} for i in said.keys() - kept]
    if gone:
        connection.execute(sa.delete(reported_firmware).where(reported_firmware.c.device_id == sa.bindparam("gone")), gone)
    return dict(wanted) | {i: replace(wanted[i], firmware_version=said[i].firmware_version) for i in kept}


def _words(connection: sa.Connection, query: sa.Select[Any]) -> dict[str, Word]:
    return {device: Word(*word) for device, *word in connection.execute(query)}
