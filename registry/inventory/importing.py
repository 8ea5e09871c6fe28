"""Inventories into the database.

An inventory says all of its fleets: importing it again changes nothing, a row that is gone takes its device out. What devices
have said of their firmware since is not undone (firmware.py).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from packaging.version import InvalidVersion, Version

from components.workspace import Workspace
from components.workspace.errors import InputError
from registry.contract.times import stamp, utc_now
from registry.database import devices, open_database, writing
from registry.health import keys, merging
from registry.health.keys import Enrolment
from registry.health.tables import ACTIVE
from registry.inventory.devices import Device, as_stored, stored
from registry.inventory.firmware import heeding
from registry.inventory.sources import rows_of

_DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_REVISION = re.compile(r"[A-Za-z0-9._-]{0,64}")
_PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")
_SHOWN = 8


@dataclass(frozen=True)
class Import:
    """What importing the inventories changed."""

    devices: int
    added: int
    changed: int
    removed: int


def import_devices(workspace: Workspace) -> Import:
    """Read the inventory of every fleet in `muster.yaml` and make the database say the same.

    A device's first public key enrols it. An empty one leaves the key alone that it enrolled with.

    Raises:
        NotFound: an inventory is not there.
        BackendUnreachable: the database of an inventory does not answer.
        InputError: rows are wrong, or have a key that the device never enrolled with; the message has file and line of
            each, up to eight.
    """
    fleets = defaultdict(set)
    for fleet in workspace.settings.fleets:
        fleets[fleet.inventory].add(fleet.name)
    wanted: dict[str, Device] = {}
    origin: dict[str, str] = {}
    problems: list[str] = []
    for source, names in fleets.items():
        for where, device in rows_of(workspace, source, problems):
            problems += _problems_of(where, device, names, workspace)
            if device.device_id in wanted:
                problems.append(f"{where}: device '{device.device_id}' is already at {origin[device.device_id]}")
            wanted[device.device_id], origin[device.device_id] = device, where
    problems += _problems_of_gateways(wanted, origin, workspace)
    _refuse(problems)
    return _store(workspace, wanted, origin)


def _problems_of(where: str, device: Device, fleets: set[str], workspace: Workspace) -> list[str]:
    found = []
    if not _DEVICE_ID.fullmatch(device.device_id):
        found.append(f"{where}: device_id '{device.device_id}' is empty or has other signs than letters, digits and ._:-")
    if device.fleet not in fleets:
        found.append(f"{where}: fleet '{device.fleet}' is not kept here (it keeps {', '.join(sorted(fleets))})")
    if device.hardware_profile not in workspace.settings.profiles:
        found.append(f"{where}: unknown hardware_profile '{device.hardware_profile}'")
    try:
        Version(device.firmware_version)
    except InvalidVersion:
        found.append(f"{where}: firmware_version '{device.firmware_version}' is no version such as 2.1.0 (PEP 440)")
    if not _REVISION.fullmatch(device.hardware_revision):
        found.append(f"{where}: hardware_revision '{device.hardware_revision}' has other signs than letters, digits and ._-")
    if device.public_key and not _PUBLIC_KEY.fullmatch(device.public_key):
        found.append(f"{where}: public_key is not 64 lower-case hex digits (ed25519)")
    return found


def _problems_of_gateways(wanted: dict[str, Device], origin: dict[str, str], workspace: Workspace) -> list[str]:
    """A device without an operating system needs a gateway, and that gateway has to be able to verify."""
    small = {p.name for p in workspace.profiles if p.runtime.name == "c99"}
    found = []
    for device in wanted.values():
        gateway = wanted.get(device.via)
        if device.via and gateway is None:
            found.append(f"{origin[device.device_id]}: via '{device.via}' is no device of these inventories")
        elif gateway is not None and gateway.hardware_profile in small:
            found.append(f"{origin[device.device_id]}: via '{device.via}' cannot verify for others: its runtime is c99")
        elif not device.via and device.hardware_profile in small:
            found.append(
                f"{origin[device.device_id]}: '{device.device_id}' has a profile with runtime c99 and needs a gateway in via"
            )
    return found


def _store(workspace: Workspace, wanted: dict[str, Device], origin: dict[str, str]) -> Import:
    fleets = [f.name for f in workspace.settings.fleets]
    rows = {i: replace(d, public_key="") for i, d in wanted.items()}
    with writing(open_database(workspace.database_url)) as connection:
        merging.serialize(connection)  # no report comes between what is read and what is written
        present = {
            row.device_id: as_stored(row) for row in connection.execute(sa.select(devices).where(devices.c.fleet.in_(fleets)))
        }
        rows = heeding(connection, rows, present)
        enrolled = _first_keys(connection, wanted, origin)
        stale = [i for i, d in rows.items() if present.get(i) != d]
        gone = [i for i in present if i not in rows]
        _delete(connection, [*gone, *(i for i in stale if i in present)])
        if stale:
            connection.execute(devices.insert(), [stored(rows[i]) for i in stale])
        keys.append(connection, enrolled)
    changed = {*stale, *(e.device_id for e in enrolled)}
    added = sum(i not in present for i in changed)
    return Import(len(wanted), added, len(changed) - added, len(gone))


def _first_keys(connection: sa.Connection, wanted: dict[str, Device], origin: dict[str, str]) -> list[Enrolment]:
    """What enrols the devices that have a key for the first time; a key that the device never had is refused.

    One that was replaced or revoked changes nothing: whoever did that was later than the inventory.
    """
    given = {i: d.public_key for i, d in wanted.items() if d.public_key}
    had = keys.history(connection, list(given))
    first = {i: key for i, key in given.items() if i not in had}
    owners = keys.owners(connection, list(first.values()))
    problems = [
        f"{origin[i]}: public_key is not the one that '{i}' enrolled with"
        for i, entries in had.items()
        if given[i] not in {e.public_key for e in entries}
    ]
    for i, key in first.items():
        if owners.setdefault(key, i) != i:
            problems.append(f"{origin[i]}: public_key of '{i}' is that of '{owners[key]}'; a key belongs to one device")
    _refuse(problems, "empty the column, or change the key with muster device enroll DEVICE --public-key HEX --replace")
    time = stamp(utc_now())
    return [Enrolment(i, 1, key, ACTIVE, time, "fleet import", f"first key, {origin[i]}") for i, key in first.items()]


def _refuse(problems: Sequence[str], hint: str = "mend these rows and import again; nothing was changed") -> None:
    if problems:
        more = f"\nand {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InputError("\n".join(problems[:_SHOWN]) + more, hint=hint)


def _delete(connection: sa.Connection, ids: Sequence[str]) -> None:
    if ids:
        connection.execute(sa.delete(devices).where(devices.c.device_id == sa.bindparam("gone")), [{"gone": i} for i in ids])
