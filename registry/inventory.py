"""Devices and fleets: who is out there, with which hardware and firmware, and who verifies for whom.

A fleet's CSV says all of the fleet: importing it again changes nothing, a row that is gone takes its device out.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from components.workspace import Workspace
from components.workspace.errors import InputError, NotFound
from registry.contract.times import stamp, utc_now
from registry.database import devices, open_database, reading, writing
from registry.health import keys
from registry.health.keys import Enrolment
from registry.health.tables import ACTIVE

COLUMNS = ("device_id", "fleet", "hardware_profile", "firmware_version", "site", "public_key", "via")
_DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")
_SHOWN = 8


@dataclass(frozen=True)
class Device:
    """``public_key``: the active one, ed25519, 64 hex digits, or empty. ``via``: the gateway that verifies for it, or empty."""

    device_id: str
    fleet: str
    hardware_profile: str
    firmware_version: str
    site: str
    public_key: str
    via: str
    hardware_revision: str = ""


@dataclass(frozen=True)
class Import:
    """What importing the inventories changed."""

    devices: int
    added: int
    changed: int
    removed: int


@dataclass(frozen=True)
class Group:
    """Devices of one fleet, profile and firmware version; ``variant`` is None where none takes them, for ``reason``."""

    fleet: str
    profile: str
    firmware: str
    devices: int
    variant: str | None
    reason: str = ""


def import_devices(workspace: Workspace) -> Import:
    """Read the CSV of every fleet in `muster.yaml` and make the database say the same.

    A device's first public key enrols it. An empty one leaves the key alone that it enrolled with.

    Raises:
        NotFound: an inventory file is not there.
        InputError: rows are wrong, or have another key than the device enrolled with; the message has file and line of
            each, up to eight.
    """
    fleets = defaultdict(set)
    for fleet in workspace.settings.fleets:
        fleets[workspace.path(fleet.inventory)].add(fleet.name)
    wanted: dict[str, Device] = {}
    origin: dict[str, str] = {}
    problems: list[str] = []
    for file, names in fleets.items():
        for line, device in _rows(file, problems):
            where = f"{file}, line {line}"
            problems += _problems_of(where, device, names, workspace)
            if device.device_id in wanted:
                problems.append(f"{where}: device '{device.device_id}' is already at {origin[device.device_id]}")
            wanted[device.device_id], origin[device.device_id] = device, where
    problems += _problems_of_gateways(wanted, origin, workspace)
    _refuse(problems)
    return _store(workspace, wanted, origin)


def list_devices(workspace: Workspace, *, fleet: str | None = None, limit: int | None = None) -> list[Device]:
    query = sa.select(devices).order_by(devices.c.device_id).limit(limit)
    if fleet is not None:
        query = query.where(devices.c.fleet == fleet)
    with reading(open_database(workspace.database_url)) as connection:
        return _devices(connection, query)


def show_device(workspace: Workspace, device_id: str) -> Device:
    """Raises NotFound for a device that is not in the inventory."""
    with reading(open_database(workspace.database_url)) as connection:
        return find_device(connection, device_id)


def find_device(connection: sa.Connection, device_id: str) -> Device:
    """Raises NotFound for a device that is not in the inventory."""
    found = _devices(connection, sa.select(devices).where(devices.c.device_id == device_id))
    if not found:
        raise NotFound(f"device '{device_id}' is not in the inventory", hint="muster fleet list names fleets, fleet show devices")
    return found[0]


def count_devices(workspace: Workspace, *, fleet: str | None = None) -> list[Group]:
    """Devices per fleet, profile and firmware version, with the variant that takes them or the reason why none does."""
    keys = (devices.c.fleet, devices.c.hardware_profile, devices.c.firmware_version)
    query = sa.select(*keys, sa.func.count()).group_by(*keys).order_by(*keys)
    if fleet is not None:
        query = query.where(devices.c.fleet == fleet)
    with reading(open_database(workspace.database_url)) as connection:
        rows = connection.execute(query).all()
    return [Group(f, p, v, n, *variant_of(workspace, f, p, v)) for f, p, v, n in rows]


def count_fleet(workspace: Workspace, fleet: str) -> int:
    """How many devices a fleet has.

    Raises:
        NotFound: neither `muster.yaml` nor the inventory knows the fleet, or nothing was imported for it.
    """
    groups = count_devices(workspace)
    if total := sum(g.devices for g in groups if g.fleet == fleet):
        return total
    known = sorted({g.fleet for g in groups} | {f.name for f in workspace.settings.fleets})
    if fleet not in known:
        raise NotFound(f"no such fleet: '{fleet}'", hint=f"there are: {', '.join(known)}")
    raise NotFound(f"fleet '{fleet}' has no devices", hint="muster fleet import reads the inventories of muster.yaml")


def devices_of(workspace: Workspace, groups: Iterable[Group]) -> list[str]:
    """The ids of all devices in ``groups``."""
    keys = [(g.fleet, g.profile, g.firmware) for g in groups]
    columns = sa.tuple_(devices.c.fleet, devices.c.hardware_profile, devices.c.firmware_version)
    query = sa.select(devices.c.device_id).where(columns.in_(keys)).order_by(devices.c.device_id)
    with reading(open_database(workspace.database_url)) as connection:
        return list(connection.scalars(query))


def variant_of(workspace: Workspace, fleet: str, profile: str, firmware: str) -> tuple[str | None, str]:
    """(name of the firmware variant, '') or (None, reason).

    Raises:
        InputError: two variants of the fleet take the same firmware version.
    """
    settings = next((f for f in workspace.settings.fleets if f.name == fleet), None)
    if settings is None:
        return None, f"fleet '{fleet}' is not in muster.yaml"
    if profile not in {p.name for p in workspace.profiles}:
        return None, f"profile '{profile}' is not in muster.yaml"
    taking = [v for v in settings.variants if SpecifierSet(v.firmware).contains(Version(firmware), prereleases=True)]
    if len(taking) > 1:
        raise InputError(
            f"fleet '{fleet}': firmware {firmware} is in the variants {' and '.join(v.name for v in taking)}",
            hint="make the firmware ranges under fleets: in muster.yaml disjoint",
        )
    if not taking:
        return None, f"no variant of fleet '{fleet}' takes firmware {firmware}"
    return f"{profile}-{taking[0].name}", ""


def _rows(file: Path, problems: list[str]) -> Iterable[tuple[int, Device]]:
    if not file.is_file():
        raise NotFound(f"the inventory {file} is not there", hint=f"write a CSV with the columns {', '.join(COLUMNS)}")
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, strict=True)
        header = next(reader, [])
        if sorted(header) != sorted(COLUMNS):
            raise InputError(
                f"{file}, line 1: the columns are {', '.join(header) or '(none)'}", hint=f"they must be {', '.join(COLUMNS)}"
            )
        order = [header.index(c) for c in COLUMNS]
        try:
            for row in reader:
                if len(row) == len(header):
                    yield reader.line_num, Device(*(row[i].strip() for i in order))
                elif row:
                    problems.append(f"{file}, line {reader.line_num}: {len(row)} values for {len(header)} columns")
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{file}, line {reader.line_num}: no valid CSV: {error}", hint="save it as CSV in UTF-8") from None


def _problems_of(where: str, device: Device, fleets: set[str], workspace: Workspace) -> list[str]:
    found = []
    if not _DEVICE_ID.fullmatch(device.device_id):
        found.append(f"{where}: device_id '{device.device_id}' is empty or has other signs than letters, digits and ._:-")
    if device.fleet not in fleets:
        found.append(f"{where}: fleet '{device.fleet}' is not kept in this file (it keeps {', '.join(sorted(fleets))})")
    if device.hardware_profile not in workspace.settings.profiles:
        found.append(f"{where}: unknown hardware_profile '{device.hardware_profile}'")
    try:
        Version(device.firmware_version)
    except InvalidVersion:
        found.append(f"{where}: firmware_version '{device.firmware_version}' is no version such as 2.1.0 (PEP 440)")
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
        present = {
            row.device_id: _device(row) for row in connection.execute(sa.select(devices).where(devices.c.fleet.in_(fleets)))
        }
        enrolled = _first_keys(connection, wanted, origin)
        stale = [i for i, d in rows.items() if present.get(i) != d]
        gone = [i for i in present if i not in rows]
        _delete(connection, [*gone, *(i for i in stale if i in present)])
        if stale:
            connection.execute(devices.insert(), [_columns(rows[i]) for i in stale])
        keys.append(connection, enrolled)
    changed = {*stale, *(e.device_id for e in enrolled)}
    added = sum(i not in present for i in changed)
    return Import(len(wanted), added, len(changed) - added, len(gone))


def _first_keys(connection: sa.Connection, wanted: dict[str, Device], origin: dict[str, str]) -> list[Enrolment]:
    """What enrols the devices that have a key for the first time; a key that is not the enrolled one is refused."""
    given = {i: d.public_key for i, d in wanted.items() if d.public_key}
    latest = keys.current(connection, list(given))
    first = {i: key for i, key in given.items() if i not in latest}
    owners = keys.owners(connection, list(first.values()))
    problems = [
        f"{origin[i]}: public_key is not the one that '{i}' enrolled with"
        for i, entry in latest.items()
        if entry.public_key != given[i]
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


def _devices(connection: sa.Connection, query: sa.Select[Any]) -> list[Device]:
    rows = connection.execute(query).all()
    latest = keys.current(connection, [row.device_id for row in rows])
    active = {i: e.public_key for i, e in latest.items() if e.active}
    return [_device(row, active.get(row.device_id, "")) for row in rows]


def _device(row: Any, public_key: str = "") -> Device:
    return Device(**row._mapping, public_key=public_key)


def _columns(device: Device) -> dict[str, str]:
    return {name: value for name, value in asdict(device).items() if name != "public_key"}


def _delete(connection: sa.Connection, ids: Sequence[str]) -> None:
    if ids:
        connection.execute(sa.delete(devices).where(devices.c.device_id == sa.bindparam("gone")), [{"gone": i} for i in ids])
