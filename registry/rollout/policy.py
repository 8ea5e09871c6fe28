"""What happens next to a running variant, and why: a pure function of its offer, the evidence and the time.

1  any halting gate has enough evidence                       -> HALTED
2  a wave of the stage has reported, and another is planned   -> WIDENED
3  all waves are out, the soak is over, promotion is proven   -> PROMOTED, or COMPLETED after the last stage
4  nobody reports any more, and promotion is not proven       -> WIDENED beyond the plan, or HELD for a person
5  what was held for want of evidence has it now              -> RESUMED
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from registry.contract.cohort import BUCKETS
from registry.rollout.evidence import Evidence
from registry.rollout.gates import Reading, read_gates
from registry.rollout.release import Offer, Release, Wave
from registry.rollout.states import Kind, State

_POLLS = 48
"""Part of the report deadline for which a wave stays open at least, half an hour of a day: in a fleet that was never heard of
before, nobody is waited for but those who have spoken, and devices ask only now and then.
"""
UNDECIDED = "the gate cannot decide: "
ASKS = "the stage is decided by people"


@dataclass(frozen=True)
class Step:
    """The next event of one variant, with what it says; ``reason`` is for people."""

    kind: Kind
    reason: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outlook:
    """``step``: what happens now, if anything; ``next``: what is waited for, until ``at`` (seconds) at the latest."""

    readings: tuple[Reading, ...]
    step: Step | None
    next: str
    at: int | None = None


def decide(release: Release, offer: Offer, evidence: Evidence, now: int, *, largest: Wave | None = None) -> Outlook:
    """``now``: seconds since 1970. ``largest``: the cut to which the stage may be extended, None if it may not."""
    readings = read_gates(evidence, release.rules, sum(o.live for o in release.manifests))
    against = next((r for r in readings if r.halts and r.reached), None)
    if offer.state in (State.RUNNING, State.HELD, State.PAUSED) and against is not None:
        return Outlook(readings, Step(Kind.HALTED, describe(against)), "")
    if offer.state == State.RUNNING:
        return _running(release, offer, evidence, readings, now, largest)
    if offer.state == State.HELD and offer.why.startswith(UNDECIDED) and (readings[-1].reached or _goes_on(offer, evidence)):
        return Outlook(readings, Step(Kind.RESUMED, "late reports decide it"), "")
    return Outlook(readings, None, _waiting_for(offer))


def describe(reading: Reading) -> str:
    """'failures: 9 of 60, evidence 10^2.3 of 10^2.0'."""
    return f"{reading.gate}: {reading.bad} of {reading.n}, evidence 10^{reading.evidence:.1f} of 10^{reading.threshold:.1f}"


def promoted(offer: Offer) -> tuple[Kind, dict[str, Any]]:
    """The event that ends a variant's stage, with its facts: the next stage opens, or all devices are let in."""
    if offer.last_stage:
        return Kind.COMPLETED, {"upto": BUCKETS, "devices": offer.devices}
    return Kind.PROMOTED, _cut(offer, offer.stages[offer.stage + 1].waves[0])


def _cut(offer: Offer, wave: Wave) -> dict[str, Any]:
    """A stage that was extended may be ahead of what was planned."""
    now = offer.cuts[-1]
    upto, devices = max((wave.upto, wave.quota), (now.upto, now.devices))
    return {"upto": upto, "devices": devices}


def _reported(evidence: Evidence) -> bool:
    """Nine tenths of the wave: the last ones may be off."""
    return evidence.wave_expected > 0 and 10 * evidence.wave_pending <= evidence.wave_expected


def _goes_on(offer: Offer, evidence: Evidence) -> bool:
    return offer.wave + 1 < len(offer.plan.waves) and _reported(evidence)


def _running(
    release: Release, offer: Offer, evidence: Evidence, readings: tuple[Reading, ...], now: int, largest: Wave | None
) -> Outlook:
    opened = offer.cuts[-1].seconds
    deadline = opened + release.rules.report_deadline_s
    reported = _reported(evidence)
    if offer.wave + 1 < len(offer.plan.waves):
        return _next_wave(offer, evidence, readings, now, deadline)
    soaked = opened + offer.plan.soak_s
    if now < soaked:
        return Outlook(readings, None, f"stage '{offer.plan.name}' soaks", soaked)
    by_people = offer.plan.decided_by == "people"
    if readings[-1].reached and not by_people:
        kind, facts = promoted(offer)
        return Outlook(readings, Step(kind, describe(readings[-1]), facts), "")
    if now < deadline and (not reported if by_people else evidence.pending):
        return Outlook(readings, None, "reports", deadline)
    return Outlook(readings, Step(Kind.HELD, ASKS) if by_people else _undecided(release, offer, readings, largest), "")


def _undecided(release: Release, offer: Offer, readings: tuple[Reading, ...], largest: Wave | None) -> Step:
    if largest is not None and offer.extended < release.rules.extensions:
        return _extended(offer, readings, largest)
    return Step(Kind.HELD, UNDECIDED + describe(readings[-1]))


def _next_wave(offer: Offer, evidence: Evidence, readings: tuple[Reading, ...], now: int, deadline: int) -> Outlook:
    """Whoever falls silent has failed by the deadline, so that a wave always reports, unless nobody of it is there."""
    nobody = not evidence.wave_expected and now >= deadline
    early = now < offer.cuts[-1].seconds + (deadline - offer.cuts[-1].seconds) // _POLLS
    if early or (not _reported(evidence) and not nobody):
        return Outlook(readings, None, f"reports of wave {offer.wave + 1} of {len(offer.plan.waves)}", deadline)
    if not evidence.expected:
        return Outlook(readings, Step(Kind.HELD, UNDECIDED + "no device has said anything"), "")
    wave = offer.plan.waves[offer.wave + 1]
    reason = f"wave {offer.wave + 2} of {len(offer.plan.waves)}"
    return Outlook(readings, Step(Kind.WIDENED, reason, _cut(offer, wave) | {"extension": False}), "")


def _extended(offer: Offer, readings: tuple[Reading, ...], largest: Wave) -> Step:
    reason = f"stage '{offer.plan.name}' grows to {largest.quota} devices, to decide: {describe(readings[-1])}"
    return Step(Kind.WIDENED, reason, {"upto": largest.upto, "devices": largest.quota, "extension": True})


def _waiting_for(offer: Offer) -> str:
    return {
        State.HELD: f"a person: {offer.why}",
        State.PAUSED: f"a person: {offer.why}",
        State.HALTED: "two persons who resume it, or one who rolls it back or ends it",
        State.ROLLING_BACK: "devices that still run it",
    }.get(offer.state, "")


def is_undecided(offer: Offer) -> bool:
    """Whether the variant waits for a person's verdict on its stage."""
    return offer.state == State.HELD and (offer.why == ASKS or offer.why.startswith(UNDECIDED))
