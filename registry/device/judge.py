"""What a verified manifest means for this device. Pure; the order of the checks is part of the contract."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import ValidationError
from tuf.api.metadata import TargetFile

from registry.contract.approval import Approved
from registry.contract.cohort import pin, place
from registry.contract.manifest import Manifest
from registry.contract.reasons import Reason
from registry.contract.times import parse_stamp
from registry.device.facts import Facts
from registry.device.floors import Floors, Kind
from registry.device.refusal import Refused

CLOCK_TOLERANCE = timedelta(minutes=10)


def refuse_wrong(manifest: Manifest, facts: Facts, floors: Floors, now: datetime, kind: Kind = "model") -> None:
    """Raises Refused for a manifest that is expired, older than what the device knows, or meant for another device.

    ``kind``: what is to be offered under this variant. A firmware may bring the runtime, so that it is not asked for one.
    """
    if parse_stamp(manifest.expires) <= now:
        raise Refused(Reason.MANIFEST_EXPIRED, f"the manifest expired at {manifest.expires}")
    refuse_early_clock(max(manifest.created_at, floors.time), now)
    floor = floors.sequence.get(manifest.path, 0)
    if manifest.sequence_number < floor:
        raise Refused(Reason.SEQUENCE_ROLLBACK, f"sequence {manifest.sequence_number} after {floor} was seen")
    if (manifest.fleet_id, manifest.firmware_variant) != (facts.fleet, facts.firmware_variant):
        raise Refused(Reason.WRONG_FLEET, f"the manifest is for {manifest.fleet_id}/{manifest.firmware_variant}")
    if manifest.artifact.kind != kind:
        raise Refused(Reason.WRONG_KIND, f"the manifest offers {manifest.artifact.kind}, the device takes a {kind} here")
    if facts.hardware_profile not in manifest.compatibility.hardware_ids:
        raise Refused(
            Reason.WRONG_HARDWARE, f"for {', '.join(manifest.compatibility.hardware_ids)}, not {facts.hardware_profile}"
        )
    _refuse_revision(manifest.compatibility.hardware_revisions, facts)
    if not _within(facts.firmware_version, manifest.compatibility.firmware_version):
        raise Refused(
            Reason.WRONG_FIRMWARE, f"firmware {facts.firmware_version} is not in {manifest.compatibility.firmware_version}"
        )
    if kind == "model":
        _refuse_runtime(manifest, facts)
    counter = floors.counter(facts.fleet, kind)
    if manifest.artifact.release_counter < counter and manifest.state != "rollback":
        raise Refused(
            Reason.COUNTER_ROLLBACK, f"release counter {manifest.artifact.release_counter} after {counter} was installed"
        )


def refuse_early_clock(floor: str, now: datetime) -> None:
    """A clock behind what is proven to have passed could make expired metadata look fresh."""
    if now < parse_stamp(floor) - CLOCK_TOLERANCE:
        raise Refused(
            Reason.CLOCK_BEHIND, f"the clock says {now:%Y-%m-%dT%H:%M:%SZ}, but {floor} has passed", hint="set the clock"
        )


def reason_to_wait(manifest: Manifest, facts: Facts, now: datetime) -> tuple[Reason, str] | None:
    """Why there is nothing to do now, or None."""
    if facts.running_sha256 == manifest.artifact.sha256:
        return Reason.ALREADY_INSTALLED, f"artefact {manifest.artifact.sha256[:12]} is what runs"
    if pin(manifest.cohort.salt, facts.device_id) in manifest.cohort.pinned:
        return Reason.PINNED, "the device is pinned to what it runs"
    if manifest.state == "rollback":
        back = facts.running_sha256 == manifest.withdrawn
        return None if back else (Reason.NOT_WITHDRAWN, "the device does not run what is taken back")
    if manifest.state not in ("running", "completed"):
        return Reason.NOT_RUNNING, f"the rollout is {manifest.state}"
    return _not_now(manifest, facts, now) or _outside(manifest, facts)


def _not_now(manifest: Manifest, facts: Facts, now: datetime) -> tuple[Reason, str] | None:
    if now < parse_stamp(manifest.not_before):
        return Reason.NOT_YET, f"not before {manifest.not_before}"
    if manifest.windows and not any(_inside(w, facts.local(now)) for w in manifest.windows):
        return Reason.OUTSIDE_WINDOW, f"installs at {', '.join(manifest.windows)}, it is {facts.local(now):%H:%M} here"
    return None


def _outside(manifest: Manifest, facts: Facts) -> tuple[Reason, str] | None:
    if in_stage(manifest, facts):
        return None
    stage = manifest.stages[manifest.active_stage].name
    own = _own_bucket(manifest, facts)
    return Reason.NOT_IN_COHORT, f"stage '{stage}' takes buckets below {manifest.upto}, this device has {own}"


def in_stage(manifest: Manifest, facts: Facts) -> bool:
    """Whether the rollout has reached the device."""
    return _own_bucket(manifest, facts) < manifest.upto


def _own_bucket(manifest: Manifest, facts: Facts) -> int:
    cohort = manifest.cohort
    return place(cohort.salt, facts.device_id, cohort.deferred, cohort.deferred_to)


def approved_entry(entry: TargetFile | None, manifest: Manifest, facts: Facts, floors: Floors) -> TargetFile:
    """Raises Refused unless two persons' entry for the artefact says the same as the manifest, and fits this device.

    An artefact older than the newest that the device has verified is taken only where that entry says that devices may go
    back to it from exactly that one.
    """
    artifact = manifest.artifact
    if entry is None:
        raise Refused(Reason.NOT_APPROVED, f"the releases role does not list artefact {artifact.sha256[:12]}")
    try:
        approved = Approved.model_validate(entry.custom)
    except ValidationError:
        raise Refused(Reason.NOT_APPROVED, "the entry in the releases role does not parse") from None
    if (entry.length, entry.hashes.get("sha256")) != (artifact.length, artifact.sha256):
        raise Refused(Reason.NOT_APPROVED, "length or digest differ between the manifest and the releases role")
    if facts.hardware_profile not in approved.hardware_ids:
        raise Refused(Reason.WRONG_HARDWARE, f"approved for {', '.join(approved.hardware_ids)}, not {facts.hardware_profile}")
    _refuse_revision(approved.hardware_revisions, facts)
    if approved.kind != artifact.kind:
        raise Refused(Reason.NOT_APPROVED, f"approved as {approved.kind}, offered as {artifact.kind}")
    fleet = approved.fleets.get(facts.fleet)
    if fleet is None or approved.runtime != manifest.compatibility.runtime:
        raise Refused(Reason.NOT_APPROVED, f"not approved for fleet '{facts.fleet}' with this runtime")
    if manifest.compatibility.firmware_version not in fleet.firmware or artifact.release_counter > fleet.release_counter:
        raise Refused(Reason.NOT_APPROVED, "not approved for this firmware range and release counter")
    floor = floors.counter(facts.fleet, artifact.kind)
    if artifact.release_counter < floor and fleet.back_from != floor:
        raise Refused(Reason.COUNTER_ROLLBACK, f"nobody approved to go back from release {floor} to {artifact.release_counter}")
    return entry


def is_for(manifest: Manifest, facts: Facts) -> bool:
    """Whether a firmware is for this device, by its board and the firmware that it has; other devices of the profile may be
    meant.
    """
    allowed = manifest.compatibility.hardware_revisions
    fits = not allowed or facts.hardware_revision in allowed
    return fits and _within(facts.firmware_version, manifest.compatibility.firmware_version)


def _refuse_revision(allowed: tuple[str, ...], facts: Facts) -> None:
    if allowed and facts.hardware_revision not in allowed:
        known = facts.hardware_revision or "an unknown one"
        raise Refused(Reason.WRONG_HARDWARE, f"for hardware revisions {', '.join(allowed)}, not {known}")


def _refuse_runtime(manifest: Manifest, facts: Facts) -> None:
    wanted, version = manifest.compatibility.runtime, facts.version_of_runtime()
    if wanted.name != facts.runtime or version is None:
        raise Refused(Reason.WRONG_RUNTIME, f"needs {wanted.name}, the device has {facts.runtime if version else 'none'}")
    if not _within(version, f">={wanted.minimal}"):
        raise Refused(Reason.WRONG_RUNTIME, f"needs {wanted.name} {wanted.minimal} or later, the device has {version}")


def _inside(window: str, local: datetime) -> bool:
    """Whether a wall clock is in 'HH:MM-HH:MM', which may go over midnight."""
    start, end = (time.fromisoformat(part) for part in window.split("-"))
    clock = local.time()
    return start <= clock < end if start < end else clock >= start or clock < end


def _within(version: str, allowed: str) -> bool:
    try:
        return SpecifierSet(allowed).contains(Version(version), prereleases=True)
    except InvalidVersion:
        raise Refused(Reason.UNPARSABLE_VERSION, f"'{version}' is no version (PEP 440)") from None
