"""From a release to what devices read. Pure: the same log gives the same bytes, whenever it is replayed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tuf.api.metadata import TargetFile

from registry.contract.approval import Approved, FleetApproval
from registry.contract.cohort import ALGORITHM
from registry.contract.manifest import (
    Artifact,
    Cohort,
    Compatibility,
    Gates,
    Manifest,
    Previous,
    Runtime,
    Stage,
)
from registry.contract.times import parse_stamp, stamp
from registry.repository.metadata import artefact_path, artefact_target
from registry.rollout.release import Offer, Release
from registry.rollout.states import State

_TOLD = {
    State.RUNNING: "running",
    State.PAUSED: "paused",
    State.HELD: "paused",
    State.HALTED: "halted",
    State.ROLLING_BACK: "rollback",
    State.ROLLED_BACK: "rollback",
    State.COMPLETED: "completed",
}
"""What devices are told of a release's state; every other state stops them."""


def manifest_of(release: Release, offer: Offer) -> Manifest:
    """The manifest of one variant, for a release that has started."""
    return Manifest(
        manifest_id=f"{release.id}/{offer.variant}/{offer.sequence}",
        sequence_number=offer.sequence,
        rollout_id=release.id,
        fleet_id=release.fleet,
        firmware_variant=offer.variant,
        created_at=offer.created,
        not_before=offer.created,
        expires=stamp(parse_stamp(offer.created) + timedelta(days=release.expires_days)),
        state=_TOLD.get(release.state, "halted"),  # type: ignore[arg-type]
        artifact=_artifact(release, offer),
        compatibility=Compatibility(
            hardware_ids=(offer.profile,),
            firmware_version=offer.firmware,
            runtime=_runtime(offer),
        ),
        cohort=Cohort(algorithm=ALGORITHM, salt=release.id),
        stages=tuple(Stage(name=s.name, quota=s.quota, upto=s.upto, bake_seconds=s.soak_s) for s in offer.stages),
        active_stage=release.stage,
        gates=Gates(**release.gates),
        rollback=_previous(offer),
    )


def entries_of(release: Release) -> dict[str, TargetFile]:
    """What persons sign for the release: path -> its artefacts, for this fleet's hardware and firmware, under its counter."""
    entries: dict[str, TargetFile] = {}
    for offer in release.manifests:
        ranges = sorted({o.firmware for o in release.manifests if o.artefact_sha256 == offer.artefact_sha256})
        approved = Approved(
            hardware_ids=(offer.profile,),
            runtime=_runtime(offer),
            fleets={release.fleet: FleetApproval(release_counter=release.counter, firmware=tuple(ranges))},
        )
        entry = artefact_target(offer.artefact_sha256, offer.length, approved.model_dump(mode="json"))
        entries[entry.path] = entry
    return entries


def merged(before: dict[str, TargetFile], new: dict[str, TargetFile]) -> dict[str, TargetFile]:
    """Earlier approvals and the new ones; an artefact that other fleets run already keeps their entries."""
    joined = dict(before)
    for path, entry in new.items():
        custom: dict[str, Any] = dict(entry.custom)
        if path in before:
            custom["fleets"] = _joined(before[path].custom["fleets"], custom["fleets"])
        joined[path] = artefact_target(entry.hashes["sha256"], entry.length, custom)
    return joined


def _joined(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Variants that the new release does not reach keep the right to what they run."""
    joined = dict(before)
    for fleet, entry in new.items():
        kept = before.get(fleet, {}).get("firmware", [])
        joined[fleet] = entry | {"firmware": sorted({*kept, *entry["firmware"]})}
    return joined


def _artifact(release: Release, offer: Offer) -> Artifact:
    return Artifact(
        name=release.model_name,
        version=release.model_version,
        model_uri=f"models:/{release.model_name}/{release.model_version}",
        length=offer.length,
        sha256=offer.artefact_sha256,
        path=artefact_path(offer.artefact_sha256),
        release_counter=release.counter,
    )


def _runtime(offer: Offer) -> Runtime:
    return Runtime.model_validate({"name": offer.runtime, "minimal": offer.runtime_minimal})


def _previous(offer: Offer) -> Previous | None:
    way = offer.previous
    return Previous(sequence_number=way.sequence, version=way.version, sha256=way.sha256) if way else None
