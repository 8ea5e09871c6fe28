"""Devices and fleets as the database has them: who is out there, and which firmware variant takes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from components.workspace import Workspace
from components.workspace.errors import InputError, NotFound
from registry.database import devices, open_database, reading
from registry.health import keys


@dataclass(frozen=True)
class Device:
    """``public_key``: the active one, ed25519, 64 hex digits, or empty. ``via``: the gateway that verifies for it, or empty.

    ``hardware_revision``: of its board, where the inventory says it.
    """

    device_id: str
    fleet: str
    hardware_profile: str
    firmware_version: str
    site: str
    public_key: str
    via: str
    hardware_revision: str = ""


_STORED = tuple(f.name for f in fields(Device) if f.name != "public_key")


@dataclass(frozen=True)
class Group:
    """Devices of one fleet, profile, firmware version and hardware revision; ``variant`` is None where none takes them, for
    ``reason``.
    """

    fleet: str
    profile: str
    firmware: str
    devices: int
    variant: str | None
    reason: str = ""
    revision: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What its devices have in common, as in `GROUPED`."""
        return self.fleet, self.profile, self.firmware, self.revision


GROUPED = (devices.c.fleet, devices.c.hardware_profile, devices.c.firmware_version, devices.c.hardware_revision)


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
    """Devices per fleet, profile, firmware and revision, with the variant that takes them or the reason why none does."""
    query = sa.select(*GROUPED, sa.func.count()).group_by(*GROUPED).order_by(*GROUPED)
    if fleet is not None:
        query = query.where(devices.c.fleet == fleet)
    with reading(open_database(workspace.database_url)) as connection:
        rows = connection.execute(query).all()
    return [Group(f, p, v, n, *variant_of(workspace, f, p, v, r), r) for f, p, v, r, n in rows]


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
    query = sa.select(devices.c.device_id).where(sa.tuple_(*GROUPED).in_([g.key for g in groups]))
    query = query.order_by(devices.c.device_id)
    with reading(open_database(workspace.database_url)) as connection:
        return list(connection.scalars(query))


def variant_of(
    workspace: Workspace, fleet: str, profile: str, firmware: str, revision: str | None = None
) -> tuple[str | None, str]:
    """(name of the firmware variant, '') or (None, reason). ``revision`` None: of whatever hardware revision.

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
    allowed = workspace.profile(profile).hardware_revisions
    if allowed and revision is not None and revision not in allowed:
        known = f"hardware revision '{revision}'" if revision else "a device without a hardware revision"
        return None, f"profile '{profile}' is for hardware revisions {', '.join(allowed)}, not for {known}"
    return f"{profile}-{taking[0].name}", ""


def _devices(connection: sa.Connection, query: sa.Select[Any]) -> list[Device]:
    rows = connection.execute(query).all()
    latest = keys.current(connection, [row.device_id for row in rows])
    active = {i: e.public_key for i, e in latest.items() if e.active}
    return [as_stored(row, active.get(row.device_id, "")) for row in rows]


def stored(device: Device) -> dict[str, str]:
    """The device as a row of ``devices``; keys are kept in their own history. `asdict` would copy each value."""
    return {name: getattr(device, name) for name in _STORED}


def as_stored(row: Any, public_key: str = "") -> Device:
    """A row of the table; keys are kept elsewhere (registry/health/keys.py)."""
    return Device(**row._mapping, public_key=public_key)
