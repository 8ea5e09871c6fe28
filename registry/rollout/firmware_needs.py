"""Devices whose firmware is too old for what is drafted, and the releases that would change that, one after the other.

A profile has one firmware on offer at a time, so that a draft may take from them what they need; it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from components.workspace.release_settings import Fleet
from registry.contract.manifest import firmware_variant
from registry.database import releases
from registry.inventory import Group
from registry.rollout import events
from registry.rollout.members import takes
from registry.rollout.release import Displaced, Offer
from registry.rollout.replaying import replay
from registry.rollout.states import State

_GONE = frozenset({State.APPROVAL_DENIED, State.CANCELLED, State.EXPIRED, State.ABORTED, State.ROLLED_BACK})


@dataclass(frozen=True)
class Step:
    """A firmware to install on the way; ``offered``: no later firmware has taken its place; ``started``: nor does it wait."""

    release: str
    version: str
    offered: bool
    started: bool


def is_too_old(fleet: Fleet, group: Group) -> bool:
    """Whether no variant takes the firmware, and each takes later ones."""
    firmware = Version(group.firmware)
    lowest = [
        Version(s.version) for v in fleet.variants for s in SpecifierSet(v.firmware) if s.operator in (">=", ">", "~=", "==")
    ]
    return group.variant is None and bool(lowest) and firmware < min(lowest)


def for_a_variant(fleet: Fleet) -> Callable[[str], bool]:
    """Whether a variant of the fleet takes a firmware version."""
    ranges = [SpecifierSet(v.firmware) for v in fleet.variants]
    return lambda version: any(r.contains(Version(version), prereleases=True) for r in ranges)


def steps_to(connection: sa.Connection, fleet: str, group: Group, fits: Callable[[str], bool]) -> tuple[Step, ...]:
    """The fewest releases of firmware that bring the devices to a version that ``fits``, in order; none where nothing does.

    An image says what it installs over, so that one may need another before it. Of equal ways, the one with newer releases.
    """
    known = _images(connection, fleet, group.profile)
    ways: list[tuple[str, tuple[Step, ...]]] = [(group.firmware, ())]
    seen = {Version(group.firmware)}
    for version, way in ways:
        for step, offer in known:
            newer = Version(step.version) > Version(version) and Version(step.version) not in seen
            if newer and takes(offer, replace(group, firmware=version)):
                if fits(step.version):
                    return (*way, step)
                seen.add(Version(step.version))
                ways.append((step.version, (*way, step)))
    return ()


def steps_before(connection: sa.Connection, group: Group, offer: Offer) -> tuple[Step, ...]:
    """As `steps_to`, to a version that ``offer`` installs over, by older firmware only."""
    target = Version(offer.firmware_version)
    return steps_to(connection, group.fleet, group, lambda v: Version(v) < target and takes(offer, replace(group, firmware=v)))


def displaced(
    connection: sa.Connection, fleet: str, offer: Offer, without: Mapping[Group, Sequence[Step]]
) -> tuple[Displaced, ...]:
    """Firmware on offer, or waiting to be, that ``offer`` takes the place of while devices need it, the newest first.

    ``without``: devices that ``offer`` brings nothing -> what they have to install before.
    """
    found = []
    for step, other in _images(connection, fleet, offer.profile):
        own = Version(step.version)
        needing = sum(
            group.devices
            for group, steps in without.items()
            if step in steps or (takes(other, group) and Version(group.firmware) < own)
        )
        on_a_way = any(step in steps for steps in without.values())
        if needing and step.offered and (step.started or on_a_way):
            found.append(Displaced(step.release, step.version, needing))
    return tuple(found)


def in_words(steps: Sequence[Step], what: str = "bring them in") -> str:
    """``what``: what they do for the devices, in the plural."""
    if not steps:
        return f"a firmware release would {what}"
    singular = what.replace("bring ", "brings ", 1)
    way = " and then ".join(f"'{s.release}'" for s in steps)
    said = f"firmware release {way} {singular}" if len(steps) == 1 else f"firmware releases {way} {what}"
    past = ", ".join(f"'{s.release}'" for s in steps if not s.offered)
    return f"{said} (no longer offered: {past}; draft the image with --again)" if past else said


def _images(connection: sa.Connection, fleet: str, profile: str) -> list[tuple[Step, Offer]]:
    """Firmware that was released for the profile or waits to be, the newest first."""
    mine = (releases.c.fleet == fleet, releases.c.model_name == firmware_variant(profile))
    found = []
    for release_id in connection.scalars(sa.select(releases.c.id).where(*mine).order_by(releases.c.counter.desc())).all():
        release = replay(events.read(connection, release_id))
        if release.kind == "firmware" and release.state not in _GONE and (release.started or release.state != State.SUPERSEDED):
            offer = release.manifests[0]
            offered = offer.live or not release.started
            found.append((Step(release.id, offer.firmware_version, offered, release.started), offer))
    return found
