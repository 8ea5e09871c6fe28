"""Draft releases of firmware: an image for one profile, offered to the devices of a fleet that have an older one.

It is offered beside the models, under a variant of its own (`gateway-firmware`), and approved, ramped, gated and taken
back like them. A device that has installed it has a new firmware version, and so belongs to another variant of the fleet:
the model that is offered there is its model from then on. Nothing has to be ordered by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from components.workspace import Workspace
from components.workspace.errors import GateFailed, InputError, NotFound, VerificationFailed
from components.workspace.files import sha256_bytes, write_bytes
from components.workspace.release_settings import Fleet
from registry.contract import envelope
from registry.contract.manifest import firmware_variant, manifest_path
from registry.contract.times import stamp, utc_now
from registry.database import open_database, reading, releases
from registry.images import release_keys
from registry.inventory import Group, count_devices
from registry.rollout import events
from registry.rollout.draft import check_sizes, first_events, payload_of, planned_sequence, store
from registry.rollout.firmware_needs import Step, displaced, in_words, steps_before
from registry.rollout.members import count_sites, members, sites_of, takes
from registry.rollout.plan import plan, underpowered
from registry.rollout.release import Offer, Release, Skipped
from registry.rollout.replaying import replay
from registry.rollout.restoring import firmware_file
from registry.rollout.states import State

_LONGEST = 128
OPAQUE, SIGNED = "opaque", "signed-image"
"""What is known of an image: its digest, or that two persons have signed it for the profile (docs/over-the-air.md)."""


def draft_firmware(
    workspace: Workspace,
    image: Path,
    profile: str,
    version: str,
    actor: str,
    *,
    over: str = "",
    fleet: str | None = None,
    again: bool = False,
    dry_run: bool = False,
    not_before: datetime | None = None,
    now: datetime | None = None,
) -> list[Release]:
    """Offer a firmware image to one fleet, or to all that have devices with an older one.

    ``over``: the firmware that it installs over, a PEP 440 range; devices below it are left out, and named. Drafts of older
    firmware that these have to install before go on waiting; others of the profile are superseded.

    The same image is drafted once: a second call returns its releases as they are now, unless they ended and ``again`` is
    given.

    Raises:
        NotFound: no such image, profile or fleet.
        InputError: no version, no lower bound in ``over``, or no device would take it.
        GateFailed: a stage has too few devices for its gate to ever decide.
        VerificationFailed: it is a signed image, but not one that the profile's devices take.
    """
    data, level = _read(workspace, image, profile)
    target = _version(version)
    firmware = _firmware(over, target)
    workspace.profile(profile)
    chosen = [f for f in workspace.settings.fleets if fleet in (None, f.name)]
    if not chosen:
        raise NotFound(f"no such fleet: '{fleet}'", hint=f"there are: {', '.join(f.name for f in workspace.settings.fleets)}")
    time, start = stamp(now or utc_now()), stamp(not_before) if not_before else ""
    drafted: list[Release] = []
    before: list[str] = []
    for each in chosen:
        offer = _bare_offer(workspace, each, profile, target, firmware, data, level)
        everyone = count_devices(workspace, fleet=each.name)
        groups = [g for g in everyone if takes(offer, g) and Version(g.firmware) < target]
        if not groups:
            before += _brought(workspace, everyone, offer)
        else:
            drafted.append(_draft(workspace, each, offer, groups, data, actor, time, start, again=again, dry_run=dry_run))
    if not drafted:
        within = f" in '{over}'" if over else ""
        raise InputError(
            f"no device of {', '.join(f.name for f in chosen)} with profile '{profile}' has firmware{within} older than {target}",
            hint="; ".join((*dict.fromkeys(before), "muster fleet list shows what they have; muster fleet import reads it anew")),
        )
    return drafted


def _brought(workspace: Workspace, groups: Sequence[Group], offer: Offer) -> Iterator[str]:
    """What would bring devices to firmware that the offer installs over."""
    with reading(open_database(workspace.database_url)) as connection:
        for group in groups:
            if group.profile == offer.profile and (steps := steps_before(connection, group, offer)):
                yield f"{in_words(steps, 'bring them there')} (from {group.firmware})"


def _draft(
    workspace: Workspace,
    fleet: Fleet,
    offer: Offer,
    groups: list[Group],
    data: bytes,
    actor: str,
    time: str,
    start: str,
    *,
    again: bool,
    dry_run: bool,
) -> Release:
    with reading(open_database(workspace.database_url)) as connection:
        earlier, counter, version, attempt = _earlier(connection, fleet.name, offer)
        if earlier and (earlier.open or (not again and (earlier.started or earlier.state != State.SUPERSEDED))):
            return earlier
        release_id = f"{fleet.name}-r{counter}"
        full = _planned(workspace, connection, fleet, offer, groups, release_id)
        others = [g for g in count_devices(workspace, fleet=fleet.name) if g.profile == offer.profile and g not in groups]
        ways = {g: steps_before(connection, g, full) for g in others}
        taken = displaced(connection, fleet.name, full, ways)
    left_out = [_skipped(g, full, steps) for g, steps in ways.items() if not takes(full, g)]
    payload = payload_of(workspace, fleet, offer.variant, version, counter, [full], left_out)
    payload |= {"not_before": start, "displaces": [asdict(d) for d in taken]}
    log = first_events(release_id, actor, time, payload)
    release = replay(log)
    check_sizes(release)
    if not dry_run:
        write_bytes(firmware_file(workspace, offer.artefact_sha256), data)
        needed = {s.release for steps in ways.values() for s in steps}
        store(workspace, log, attempt, [(offer.artefact_sha256, data)], needed)
    return release


def _bare_offer(
    workspace: Workspace, fleet: Fleet, profile: str, target: Version, firmware: str, data: bytes, level: str
) -> Offer:
    """The offer before its cohort is drawn. Who has the firmware by now still belongs to it, and reports."""
    variant = firmware_variant(profile)
    if any(variant == f"{p}-{v.name}" for p in workspace.settings.profiles for v in fleet.variants):
        raise InputError(
            f"fleet '{fleet.name}' has a variant that is called '{variant}', too",
            hint="rename it under fleets: in muster.yaml: firmware is offered under this name",
        )
    runtime = workspace.profile(profile).runtime
    return Offer(
        variant=variant,
        profile=profile,
        firmware=firmware,
        devices=0,
        artefact_sha256=sha256_bytes(data),
        length=len(data),
        runtime=runtime.name,
        runtime_minimal=runtime.minimal,
        proof_level=level,
        stages=(),
        sequence=1,
        path=manifest_path(fleet.name, variant),
        control_from=0,
        deferred=(),
        firmware_version=str(target),
        hardware_revisions=workspace.profile(profile).hardware_revisions,
    )


def _planned(
    workspace: Workspace, connection: sa.Connection, fleet: Fleet, offer: Offer, groups: list[Group], release_id: str
) -> Offer:
    policy = workspace.settings.release
    ids = members(connection, groups, without=fleet.pinned)
    if not ids:
        raise InputError(f"every device of fleet '{fleet.name}' is pinned", hint="see fleets: pinned: in muster.yaml")
    drawn = plan(policy, ids, release_id, sites=count_sites(connection, groups), sites_of=partial(sites_of, connection))
    if problem := underpowered(policy, drawn):
        raise GateFailed(
            f"fleet '{fleet.name}', {offer.variant} ({len(ids)} devices): {problem}",
            hint="raise the share of these stages, or write decided_by: people for them: a person then opens what follows",
        )
    return replace(
        offer,
        devices=len(ids),
        stages=drawn.stages,
        sequence=planned_sequence(connection, fleet.name, offer.variant),
        control_from=drawn.control_from,
        deferred=drawn.deferred,
    )


def _earlier(connection: sa.Connection, fleet: str, offer: Offer) -> tuple[Release | None, int, int, int]:
    """(latest release of the same image, next counter of the fleet, number of the image, next attempt)."""
    mine = (releases.c.fleet == fleet, releases.c.model_name == offer.variant)
    rows = connection.execute(sa.select(releases).where(*mine).order_by(releases.c.counter)).all()
    counter = (connection.scalar(sa.select(sa.func.max(releases.c.counter)).where(releases.c.fleet == fleet)) or 0) + 1
    for row in reversed(rows):
        release = replay(events.read(connection, row.id))
        same = release.manifests[0]
        if _what(same) == _what(offer):
            return release, counter, row.model_version, row.attempt + 1
    return None, counter, max((row.model_version for row in rows), default=0) + 1, 1


def _what(offer: Offer) -> tuple[str, str, str]:
    return offer.artefact_sha256, offer.firmware_version, offer.firmware


def _skipped(group: Group, offer: Offer, steps: Sequence[Step]) -> Skipped:
    """Why these devices of the profile get nothing, and which firmware they would have to install before."""
    if offer.hardware_revisions and group.revision not in offer.hardware_revisions:
        reason = f"hardware revision '{group.revision}' is not among {', '.join(offer.hardware_revisions)}"
    elif Version(group.firmware) > Version(offer.firmware_version):
        reason = f"they have firmware {group.firmware}, which is newer"
    else:
        reason = (
            f"they have firmware {group.firmware}, and it installs over {offer.firmware}; {in_words(steps, 'bring them there')}"
        )
    return Skipped(group.profile, group.firmware, group.devices, reason, steps[0].release if steps else "")


def _read(workspace: Workspace, image: Path, profile: str) -> tuple[bytes, str]:
    if not image.is_file():
        raise NotFound(f"no {image}", hint="name the file of the firmware image")
    data = image.read_bytes()
    if not data:
        raise InputError(f"{image} is empty", hint="name the file of the firmware image")
    if not data.startswith(envelope.MAGIC):
        return data, OPAQUE
    trusted = envelope.ImageTrust(release_keys(workspace), profile, envelope.Kind.FIRMWARE, 0, 0)
    if (reason := envelope.refusal(data, trusted)) is not None:
        raise VerificationFailed(
            f"[{reason}] devices with profile '{profile}' would refuse {image}", hint="docs/over-the-air.md says what they check"
        )
    return data, SIGNED


def _firmware(over: str, target: Version) -> str:
    """The range of firmware that takes the image. It has the image's own version: who has installed it belongs to it, too."""
    try:
        wanted = SpecifierSet(over)
    except InvalidSpecifier:
        raise InputError(f"'{over}' is no version range", hint="write --over '>=1.4' (PEP 440)") from None
    if not wanted.contains(target, prereleases=True):
        raise InputError(f"{target} is not in '{over}'", hint="give the oldest firmware that it installs over: --over '>=1.4'")
    together = f"{wanted},<={target}" if over else f"<={target}"
    if len(together) > _LONGEST:
        raise InputError(f"the range '{over}' is too long", hint=f"devices read {_LONGEST} characters of it")
    return together


def _version(text: str) -> Version:
    """Ranges of firmware compare no local parts (PEP 440), so that devices could not tell such an image from the one without."""
    try:
        version = Version(text)
    except InvalidVersion:
        raise InputError(f"'{text}' is no firmware version such as 2.1.0", hint="write it as PEP 440 wants it") from None
    if version.local:
        raise InputError(
            f"firmware version '{text}' has a local part, '+{version.local}', which no range of versions tells apart",
            hint=f"number the image anew, such as {version.public}.post1",
        )
    return version
