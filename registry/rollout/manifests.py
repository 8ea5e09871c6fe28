"""From a release to what devices read. Pure: the same log gives the same bytes, whenever it is replayed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tuf.api.metadata import TargetFile

from registry.contract.approval import Approved, FleetApproval
from registry.contract.cohort import ALGORITHM, pin
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
from registry.rollout.release import Offer, Release, Rules, Way
from registry.rollout.states import State

_TOLD = {
    State.RUNNING: "running",
    State.PAUSED: "paused",
    State.HELD: "running",
    State.HALTED: "halted",
    State.ROLLING_BACK: "rollback",
    State.ROLLED_BACK: "rollback",
    State.COMPLETED: "completed",
}
"""What devices are told of a variant's state; every other state stops them."""


def manifest_of(release: Release, offer: Offer) -> Manifest:
    """The manifest of one variant, for a release that has started."""
    back = offer.previous if offer.state in (State.ROLLING_BACK, State.ROLLED_BACK) else None
    return Manifest(
        manifest_id=f"{release.id}/{offer.variant}/{offer.sequence}",
        sequence_number=offer.sequence,
        rollout_id=release.id,
        fleet_id=release.fleet,
        firmware_variant=offer.variant,
        created_at=offer.created,
        log_head=offer.told_by,
        not_before=max(release.not_before, offer.cuts[0].time),
        expires=stamp(parse_stamp(offer.created) + timedelta(days=release.expires_days)),
        state=_TOLD.get(offer.state, "halted"),  # type: ignore[arg-type]
        artifact=_artifact(back or _forward(release, offer)),
        compatibility=Compatibility(
            hardware_ids=(offer.profile,),
            firmware_version=offer.firmware,
            runtime=_runtime(back or offer),
            hardware_revisions=offer.hardware_revisions,
        ),
        cohort=Cohort(
            algorithm=ALGORITHM,
            salt=release.id,
            pinned=_pins(release.id, release.pinned),
            deferred=_pins(release.id, offer.deferred),
            deferred_to=offer.stages[0].upto,
        ),
        stages=_stages(offer),
        active_stage=offer.stage,
        gates=_gates(release.rules),
        windows=release.windows,
        rollback=_previous(offer),
        withdrawn=offer.artefact_sha256 if back else None,
    )


def entries_of(release: Release, ways: Mapping[str, Way]) -> dict[str, TargetFile]:
    """What persons sign for the release: path -> its artefacts, for this fleet's hardware and firmware, under its counter.

    ``ways``: variant -> what it would go back to. That is approved with the release, so that a bad one can be taken back
    at once: the artefact keeps its own counter, and takes devices back from this release only.
    """
    entries: dict[str, TargetFile] = {}
    for offer in release.manifests:
        alike = [o for o in release.manifests if o.artefact_sha256 == offer.artefact_sha256]
        approved = FleetApproval(release_counter=release.counter, firmware=tuple(sorted({o.firmware for o in alike})))
        entry = _entry(release.fleet, offer, _forward(release, offer), approved)
        entries[entry.path] = entry
    new = {o.artefact_sha256 for o in release.manifests}
    for offer in release.manifests:
        way = ways.get(offer.variant)
        if way is not None and way.sha256 not in new:
            alike = [o for o in release.manifests if (w := ways.get(o.variant)) and w.sha256 == way.sha256]
            approved = FleetApproval(
                release_counter=way.release_counter,
                firmware=tuple(sorted({o.firmware for o in alike})),
                back_from=release.counter,
            )
            entry = _entry(release.fleet, offer, way, approved)
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


def _entry(fleet: str, offer: Offer, way: Way, approval: FleetApproval) -> TargetFile:
    approved = Approved(
        hardware_ids=(offer.profile,),
        runtime=_runtime(way),
        fleets={fleet: approval},
        kind="firmware" if way.firmware_version else "model",
        hardware_revisions=offer.hardware_revisions,
    )
    return artefact_target(way.sha256, way.length, approved.model_dump(mode="json"))


def _forward(release: Release, offer: Offer) -> Way:
    return Way(
        offer.sequence,
        release.model_name,
        release.model_version,
        offer.artefact_sha256,
        offer.length,
        release.counter,
        offer.runtime,
        offer.runtime_minimal,
        offer.firmware_version,
    )


def _artifact(way: Way) -> Artifact:
    firmware = way.firmware_version
    return Artifact(
        name=way.model_name,
        version=way.version,
        model_uri=f"firmware:/{way.model_name}/{firmware}" if firmware else f"models:/{way.model_name}/{way.version}",
        kind="firmware" if firmware else "model",
        firmware_version=firmware or None,
        length=way.length,
        sha256=way.sha256,
        path=artefact_path(way.sha256),
        release_counter=way.release_counter,
    )


def _stages(offer: Offer) -> tuple[Stage, ...]:
    """As planned, but for the active stage, which says what is open now, and what a longer one takes from those after it."""
    now = offer.cuts[-1]
    planned = [(s.quota, max(s.upto, now.upto)) if i > offer.stage else (s.quota, s.upto) for i, s in enumerate(offer.stages)]
    planned[offer.stage] = (now.devices, now.upto)
    before = [(q, min(u, now.upto)) for q, u in planned[: offer.stage]]
    return tuple(
        Stage(name=s.name, quota=quota, upto=upto, bake_seconds=s.soak_s)
        for s, (quota, upto) in zip(offer.stages, [*before, *planned[offer.stage :]], strict=True)
    )


def _gates(rules: Rules) -> Gates:
    return Gates(
        p0_bp=rules.p0_bp,
        pmax_bp=rules.pmax_bp,
        alpha_halt_bp=rules.alpha_halt_bp,
        alpha_promote_bp=rules.alpha_promote_bp,
        report_deadline_s=rules.report_deadline_s,
        max_attempts=rules.max_attempts,
    )


def _pins(salt: str, device_ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(pin(salt, d) for d in device_ids))


def _runtime(of: Offer | Way) -> Runtime:
    return Runtime.model_validate({"name": of.runtime, "minimal": of.runtime_minimal})


def _previous(offer: Offer) -> Previous | None:
    way = offer.previous
    return Previous(sequence_number=way.sequence, version=way.version, sha256=way.sha256) if way else None
