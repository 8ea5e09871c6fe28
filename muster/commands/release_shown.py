"""How releases look in a terminal: the plan of one, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from muster.console import emit_line, emit_table

if TYPE_CHECKING:
    from registry.rollout import Offer, Release, View


def print_release(release: Release) -> None:
    """What a release offers to which devices, by whose decision."""
    title = f"{release.id}: {release.title} for fleet {release.fleet}, {words(release)}"
    rows = [
        (
            o.variant,
            o.firmware,
            o.devices,
            " / ".join(str(s.quota) for s in o.stages),
            o.artefact_sha256[:12],
            o.proof_level,
            o.sequence,
        )
        for o in release.manifests
    ]
    emit_table(title, ("variant", "firmware", "devices", "stages", "artefact", "proof", "sequence"), rows)
    for profile, reason in dict.fromkeys((s.profile, s.reason) for s in release.skipped):
        alike = [s for s in release.skipped if (s.profile, s.reason) == (profile, reason)]
        devices, firmware = sum(s.devices for s in alike), ", ".join(s.firmware for s in alike)
        emit_line(f"not reached: {devices} devices with {profile}, firmware {firmware}: {reason}")
    for gone in release.displaces if release.open and not release.started else ():
        what = f"{gone.release} (firmware {gone.version})"
        emit_line(f"warning: starting it takes {what} out of offer, which {gone.devices} devices still need")
    if release.pinned:
        emit_line(f"pinned to what they run: {', '.join(release.pinned)}")
    if release.voided and release.state == "waiting_for_approval":
        emit_line(f"void: another release started after {', '.join(release.voided)} signed; they have to approve again")
    if release.approvals:
        emit_line(f"approved by {', '.join(f'{a.person} ({a.reason})' for a in release.approvals)}")


def print_status(release: Release, views: Sequence[View]) -> None:
    """Stage, counts, gates and what comes next, variant by variant."""
    title = f"{release.id}: {release.title} for fleet {release.fleet}, {words(release)}"
    columns = ("variant", "state", "stage", "let in", "expected", "ok", "failed", "silent", "pending")
    emit_table(title, columns, [_counts(v) for v in views])
    gates = [(v.offer.variant, *_gate(r)) for v in views for r in v.outlook.readings]
    emit_table("Gates", ("variant", "gate", "bad", "of", "evidence", "threshold", "says"), gates)
    for view in views:
        for line in _next(view):
            emit_line(f"{view.offer.variant}: {line}")


def status_json(release: Release, views: Sequence[View]) -> dict[str, Any]:
    return {
        "release": release.id,
        "revision": release.revision,
        "state": release.state.value,
        "model": {"name": release.model_name, "version": release.model_version},
        "variants": [
            {
                "variant": v.offer.variant,
                "profile": v.offer.profile,
                "firmware": v.offer.firmware,
                "state": v.offer.state.value,
                "stage": v.offer.plan.name,
                "wave": v.offer.wave + 1,
                "waves": len(v.offer.plan.waves),
                "why": v.offer.why,
                "evidence": asdict(v.evidence) | {"pending": v.evidence.pending},
                "gates": [asdict(r) | {"reached": r.reached} for r in v.outlook.readings],
                "due": asdict(v.outlook.step) if v.outlook.step else None,
                "waits_for": v.outlook.next,
                "at_the_latest": _time(v.outlook.at) if v.outlook.at else None,
            }
            for v in views
        ],
    }


def words(release: Release) -> str:
    """'running, stage 1 of 3 (canary)'."""
    said = release.state.replace("_", " ")
    if release.state == "running":
        stages = release.manifests[0].stages
        return f"{said}, stage {release.stage + 1} of {len(stages)} ({stages[release.stage].name})"
    return said


def _counts(view: View) -> tuple[object, ...]:
    evidence = view.evidence
    return (
        view.offer.variant,
        view.offer.state.replace("_", " "),
        _stage(view.offer),
        f"{evidence.enrolled} of {view.offer.devices}",
        evidence.expected,
        evidence.ok,
        evidence.failed,
        evidence.timed_out,
        evidence.pending,
    )


def _stage(offer: Offer) -> str:
    waves = len(offer.plan.waves)
    wave = f", wave {offer.wave + 1} of {waves}" if waves > 1 else ""
    grown = f", grown {offer.extended} times" if offer.extended else ""
    return f"{offer.plan.name} ({offer.stage + 1} of {len(offer.stages)}{wave}{grown})"


def _gate(reading: Any) -> tuple[object, ...]:
    verdict = ("HALT" if reading.halts else "go on") if reading.reached else ("fine so far" if reading.halts else "not yet")
    return reading.gate, reading.bad, reading.n, f"10^{reading.evidence:.1f}", f"10^{reading.threshold:.1f}", verdict


def _next(view: View) -> list[str]:
    outlook = view.outlook
    if outlook.step:
        return [f"due at the next tick: {outlook.step.kind.replace('_', ' ')} ({outlook.step.reason})"]
    until = f", at the latest {_time(outlook.at)}" if outlook.at else ""
    return [f"waits for {outlook.next}{until}"] if outlook.next else []


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
