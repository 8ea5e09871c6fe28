"""The reducer: what each event makes of a release. Pure: the same log tells the same release, whenever it is replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from components.workspace.errors import Conflict
from registry.contract.manifest import manifest_path
from registry.rollout.events import Event
from registry.rollout.release import (
    Approval,
    Cut,
    Displaced,
    MetricRule,
    Offer,
    Proposal,
    Release,
    Rules,
    Skipped,
    StagePlan,
    Wave,
    Way,
)
from registry.rollout.states import EDGES, Kind, State, overall


def replay(events: Iterable[Event]) -> Release:
    """Fold a release's events, oldest first.

    Raises:
        Conflict: an event that the state before it does not allow.
    """
    release: Release | None = None
    for event in events:
        release = apply(release, event)
    if release is None:
        raise ValueError("a release without events")
    return release


def apply(release: Release | None, event: Event) -> Release:
    """The release after ``event``, which touches the variants it names, or all."""
    if release is None:
        if event.kind != Kind.DRAFTED:
            raise Conflict(f"release '{event.release_id}' begins with '{event.kind}'", hint="the first event is its draft")
        return _drafted(event)
    touched = touched_by(release, event.kind, event.payload)
    state_of = {v: next_state(release, release.offer(v), event.kind) for v in touched}
    fold = _OFFERS.get(event.kind, _same)

    def moved(offer: Offer) -> Offer:
        told = touched.get(offer.variant)
        if told is None:
            return offer
        folded, state = _told(fold(offer, told, event), told, event), state_of[offer.variant]
        return folded if folded.state == state else replace(folded, state=state)

    offers = tuple(moved(o) for o in release.manifests)
    folded = _RELEASES[event.kind](release, event) if event.kind in _RELEASES else release
    return replace(folded, manifests=offers, state=overall({o.state for o in offers}), revision=event.revision)


def touched_by(release: Release, kind: Kind, payload: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Variant -> what the event says of it. An event that names none is about all of them."""
    named = payload.get("variants")
    if named is None:
        return {o.variant: {} for o in release.manifests}
    if unknown := sorted(set(named) - {o.variant for o in release.manifests}):
        raise Conflict(f"release '{release.id}' has no variant '{unknown[0]}'", hint=f"'{kind}' names one that it does not offer")
    return dict(named)


def next_state(release: Release, offer: Offer, kind: Kind) -> State:
    """Raises Conflict when ``kind`` cannot happen to the variant now."""
    state = EDGES.get((offer.state, kind))
    if state is None or (kind == Kind.PROMOTED and offer.last_stage):
        orders = "|".join(sorted({_ORDERS[k] for s, k in EDGES if s == offer.state and k in _ORDERS}))
        who = f"release '{release.id}'" if not release.started else f"'{offer.variant}' in release '{release.id}'"
        raise Conflict(
            f"{who} is {offer.state.replace('_', ' ')}: it cannot be {kind.replace('_', ' ')}",
            hint=f"what can be done: muster release {orders} {release.id}" if orders else "it has ended; draft a new one",
        )
    return state


def require(release: Release, kind: Kind, variants: Iterable[str] | None = None) -> None:
    """Raises Conflict when ``kind`` cannot happen now to each of ``variants``, or to all of them."""
    for offer in release.manifests if variants is None else [release.offer(v) for v in variants]:
        next_state(release, offer, kind)


_ORDERS = {
    Kind.APPROVED: "approve",
    Kind.DENIED: "deny",
    Kind.PROMOTED: "promote",
    Kind.PAUSED: "pause",
    Kind.RESUMED: "resume",
    Kind.HELD: "hold",
    Kind.HALTED: "halt",
    Kind.ROLLBACK_STARTED: "rollback",
    Kind.ABORTED: "abort",
    Kind.CANCELLED: "abort",
}
"""What persons may do, by the command that does it."""


def _drafted(event: Event) -> Release:
    payload = dict(event.payload)
    fleet = payload["fleet"]
    rules = payload["rules"]
    return Release(
        id=event.release_id,
        fleet=fleet,
        model_name=payload["model_name"],
        model_version=payload["model_version"],
        counter=payload["counter"],
        author=event.actor,
        created=event.time,
        state=State.DRAFT,
        revision=event.revision,
        expires_days=payload["expires_days"],
        not_before=payload["not_before"],
        windows=tuple(payload["windows"]),
        pinned=tuple(payload["pinned"]),
        rules=Rules(**rules | {"metrics": tuple(MetricRule(**m) for m in rules["metrics"])}),
        manifests=tuple(_planned(fleet, o) for o in payload["offers"]),
        skipped=tuple(Skipped(**s) for s in payload["skipped"]),
        displaces=tuple(Displaced(**d) for d in payload.get("displaces", ())),
    )


def _planned(fleet: str, offer: Mapping[str, Any]) -> Offer:
    stages = tuple(StagePlan(**{**s, "waves": tuple(Wave(**w) for w in s["waves"])}) for s in offer["stages"])
    lists = {name: tuple(offer[name]) for name in ("deferred", "hardware_revisions") if name in offer}
    return Offer(**{**offer, **lists, "stages": stages, "path": manifest_path(fleet, offer["variant"])})


def _approved(release: Release, event: Event) -> Release:
    """A signature over another proposal than before voids the earlier ones: their file can no longer be published."""
    proposal = Proposal(event.payload["version"], event.payload["digest"])
    kept, dropped = (release.approvals, ()) if release.proposal == proposal else ((), release.approvals)
    new = Approval(event.actor, event.payload["keyid"], event.payload["signature"], event.payload["reason"], event.time)
    lost = [n for n in (*release.voided, *(a.person for a in dropped)) if n != new.person]
    return replace(release, proposal=proposal, approvals=(*kept, new), voided=tuple(lost))


def _told(offer: Offer, told: Mapping[str, Any], event: Event) -> Offer:
    """Devices are told something new under a new sequence number."""
    if "sequence" not in told:
        return offer
    return replace(offer, sequence=told["sequence"], created=event.time, told_by=event.hash)


def _same(offer: Offer, _told: Mapping[str, Any], _event: Event) -> Offer:
    return offer


def _started(offer: Offer, told: Mapping[str, Any], event: Event) -> Offer:
    way = Way(**told["previous"]) if told["previous"] else None
    return _opened(replace(offer, previous=way, live=True), told, event)


def _opened(offer: Offer, told: Mapping[str, Any], event: Event) -> Offer:
    cut = Cut(told["upto"], told["devices"], event.time)
    if offer.cuts and cut.upto < offer.cuts[-1].upto:
        raise Conflict(f"'{offer.variant}' cannot shrink to {cut.upto}", hint="a device that was told to install was told")
    return replace(offer, cuts=(*offer.cuts, cut))


def _widened(offer: Offer, told: Mapping[str, Any], event: Event) -> Offer:
    extension = bool(told["extension"])
    return replace(_opened(offer, told, event), wave=offer.wave + (not extension), extended=offer.extended + extension)


def _promoted(offer: Offer, told: Mapping[str, Any], event: Event) -> Offer:
    return replace(_opened(offer, told, event), stage=offer.stage + 1, wave=0, extended=0, why="", persons=())


def _stopped(offer: Offer, _told: Mapping[str, Any], event: Event) -> Offer:
    return replace(offer, why=event.payload.get("reason", ""), persons=())


def _resumed(offer: Offer, _told: Mapping[str, Any], event: Event) -> Offer:
    """Two persons who let it go on after a halt know what had been reported by then."""
    from_now = event.time if offer.state == State.HALTED else offer.judged_from
    return replace(offer, why="", persons=(), judged_from=from_now)


def _vouched(offer: Offer, _told: Mapping[str, Any], event: Event) -> Offer:
    return replace(offer, persons=(*offer.persons, event.actor))


def _displaced(offer: Offer, _told: Mapping[str, Any], _event: Event) -> Offer:
    """A later release tells the variant something else."""
    return replace(offer, live=False)


_RELEASES: dict[Kind, Callable[[Release, Event], Release]] = {Kind.APPROVED: _approved}
_OFFERS: dict[Kind, Callable[[Offer, Mapping[str, Any], Event], Offer]] = {
    Kind.STARTED: _started,
    Kind.WIDENED: _widened,
    Kind.PROMOTED: _promoted,
    Kind.COMPLETED: _opened,
    Kind.PAUSED: _stopped,
    Kind.HELD: _stopped,
    Kind.HALTED: _stopped,
    Kind.RESUMED: _resumed,
    Kind.RESUMPTION_APPROVED: _vouched,
    Kind.ROLLBACK_STARTED: _stopped,
    Kind.DISPLACED: _displaced,
}
