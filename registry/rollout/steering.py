"""What persons may do with a release that has started: promote, pause, hold, resume, halt, roll back, end.

The online keys are enough for all of it: each only chooses among what two persons released, or stops it. Going on after
a halt takes two persons, each of whom is named in the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from components.workspace import Workspace
from components.workspace.errors import ApprovalNeeded, Conflict, InputError, NotFound
from registry.contract.times import utc_now
from registry.database import open_database, rehearsing, writing
from registry.rollout import events
from registry.rollout.persons import require_person, sign_as
from registry.rollout.policy import promoted
from registry.rollout.publication import publish_decided
from registry.rollout.release import Offer, Release
from registry.rollout.replaying import replay, require
from registry.rollout.states import TERMINAL, Kind, State
from registry.rollout.telling import tell

RESUMING = 2
"""Persons who have to want a halted variant to go on."""


@dataclass(frozen=True)
class Order:
    """A person's decision. ``variants``: those it is about, none for all that it can be about; ``revision``: what they saw."""

    person: str
    reason: str
    variants: Sequence[str] = ()
    revision: int | None = None
    dry_run: bool = False


def promote(workspace: Workspace, release_id: str, order: Order, *, now: datetime | None = None) -> Release:
    """Open the next stage, or let in everyone after the last, whatever the promoting gate says."""

    def moves(release: Release) -> Iterable[tuple[Kind, dict[str, dict[str, Any]]]]:
        chosen = _chosen(release, order, (State.RUNNING, State.HELD))
        steps = [(v, *promoted(release.offer(v))) for v in chosen]
        for kind in (Kind.PROMOTED, Kind.COMPLETED):
            if told := {v: facts for v, k, facts in steps if k == kind}:
                yield kind, told

    return _order(workspace, release_id, order, moves, now)


def pause(workspace: Workspace, release_id: str, order: Order, *, now: datetime | None = None) -> Release:
    """No device begins to install; those that have begun go on."""
    return _simple(workspace, release_id, order, Kind.PAUSED, (State.RUNNING, State.HELD), now)


def hold(workspace: Workspace, release_id: str, order: Order, *, now: datetime | None = None) -> Release:
    """Nothing new opens; devices under the cut go on."""
    return _simple(workspace, release_id, order, Kind.HELD, (State.RUNNING,), now)


def halt(workspace: Workspace, release_id: str, order: Order, *, now: datetime | None = None) -> Release:
    """Stop it as a gate does: it goes on only when two persons want it to."""
    return _simple(workspace, release_id, order, Kind.HALTED, (State.RUNNING, State.PAUSED, State.HELD), now)


def resume(workspace: Workspace, release_id: str, order: Order, *, now: datetime | None = None) -> Release:
    """Go on after a pause or a hold; after a halt, when a second person wants it, too.

    Raises:
        Conflict: the same person has asked already, or nothing stands still.
        ApprovalNeeded: a halted variant waits for the second person; the first one's wish is kept.
    """
    waits: list[str] = []

    def moves(release: Release) -> Iterable[tuple[Kind, dict[str, dict[str, Any]]]]:
        chosen = _chosen(release, order, (State.PAUSED, State.HELD, State.HALTED))
        halted = [release.offer(v) for v in chosen if release.offer(v).state == State.HALTED]
        if again := [o.variant for o in halted if order.person in o.persons]:
            raise Conflict(f"{order.person} wants '{again[0]}' to go on already", hint="a second person has to want it, too")
        if halted:
            signed = {o.variant: _signature(workspace, release, o, order.person) for o in halted}
            yield Kind.RESUMPTION_APPROVED, signed
        waits.extend(o.variant for o in halted if len(o.persons) + 1 < RESUMING)
        if going := [v for v in chosen if v not in waits]:
            yield Kind.RESUMED, {v: {} for v in going}

    release = _order(workspace, release_id, order, moves, now)
    if waits and not order.dry_run:
        raise ApprovalNeeded(
            f"{', '.join(waits)} in '{release_id}' was halted; a second person has to resume it, too",
            hint=f"muster release resume {release_id} --person NAME --reason TEXT",
        )
    return release


def rollback(workspace: Workspace, release_id: str, order: Order, *, now: datetime | None = None) -> Release:
    """Tell devices that run it to go back to what they ran before, which was approved together with the release.

    Raises:
        Conflict: a variant has nothing to go back to, or a later release took it over.
    """

    def moves(release: Release) -> Iterable[tuple[Kind, dict[str, dict[str, Any]]]]:
        running = (State.RUNNING, State.PAUSED, State.HELD)
        chosen = _chosen(release, order, (*running, State.HALTED, State.COMPLETED))
        for offer in (release.offer(v) for v in chosen):
            _require_a_way_back(release, offer)
        if going := [v for v in chosen if release.offer(v).state in running]:
            yield Kind.HALTED, {v: {} for v in going}
        yield Kind.ROLLBACK_STARTED, {v: {} for v in chosen}

    return _order(workspace, release_id, order, moves, now)


def abort(workspace: Workspace, release_id: str, order: Order, *, now: datetime | None = None) -> Release:
    """End it for good. Devices keep what they run; nobody gets it any more.

    Raises:
        InputError: some variants are named of a release that has not started.
    """

    def moves(release: Release) -> Iterable[tuple[Kind, dict[str, dict[str, Any]]]]:
        if not release.started:
            if order.variants:
                raise InputError(
                    f"release '{release.id}' is {release.state.replace('_', ' ')}: until it starts, it is aborted as a whole",
                    hint="leave --variant out",
                )
            yield Kind.CANCELLED, {o.variant: {} for o in release.manifests}
            return
        running = (State.RUNNING, State.PAUSED, State.HELD)
        chosen = _chosen(release, order, (*running, State.HALTED))
        if going := [v for v in chosen if release.offer(v).state in running]:
            yield Kind.HALTED, {v: {} for v in going}
        yield Kind.ABORTED, {v: {} for v in chosen}

    return _order(workspace, release_id, order, moves, now)


def _signature(workspace: Workspace, release: Release, offer: Offer, person: str) -> dict[str, str]:
    """The person's key says that this variant is to go on after this very halt."""
    statement = f"muster resume/1\0{release.id}\0{offer.variant}\0{offer.sequence}"
    keyid, signature = sign_as(workspace, person, statement.encode())
    return {"keyid": keyid, "signature": signature}


def _simple(
    workspace: Workspace, release_id: str, order: Order, kind: Kind, states: tuple[State, ...], now: datetime | None
) -> Release:
    def moves(release: Release) -> Iterable[tuple[Kind, dict[str, dict[str, Any]]]]:
        yield kind, {v: {} for v in _chosen(release, order, states)}

    return _order(workspace, release_id, order, moves, now)


def _chosen(release: Release, order: Order, states: tuple[State, ...]) -> list[str]:
    """The variants that the order is about: those it names, or all in one of ``states``."""
    if order.variants:
        return list(dict.fromkeys(order.variants))
    found = [o.variant for o in release.manifests if o.live and o.state in states]
    if found:
        return found
    ended = release.state in TERMINAL
    wanted = " or ".join(states).replace("_", " ")
    raise Conflict(
        f"release '{release.id}' is {release.state.replace('_', ' ')}: no variant of it is {wanted}",
        hint="it has ended; draft a new one" if ended else f"muster release status {release.id} shows where it is",
    )


def _require_a_way_back(release: Release, offer: Offer) -> None:
    if not offer.live:
        raise Conflict(f"a later release tells '{offer.variant}' what to run", hint="roll that one back")
    if offer.previous is None or offer.previous.sha256 == offer.artefact_sha256:
        raise Conflict(
            f"'{offer.variant}' ran nothing else before '{release.id}': there is nothing to go back to",
            hint="muster release halt stops it; then draft a release with a better version",
        )


def _order(workspace: Workspace, release_id: str, order: Order, moves: Any, now: datetime | None) -> Release:
    now = now or utc_now()
    require_person(workspace, order.person)
    with (rehearsing if order.dry_run else writing)(open_database(workspace.database_url)) as connection:
        log = events.read(connection, release_id)
        if not log:
            raise NotFound(f"there is no release '{release_id}'", hint="muster release list shows their ids")
        release, last = replay(log), log[-1]
        if order.revision is not None and order.revision != release.revision:
            raise Conflict(
                f"'{release_id}' is at revision {release.revision}, you saw {order.revision}",
                hint=f"muster release status {release_id} shows what happened; decide again",
            )
        _require_known(release, order.variants)
        for kind, told in moves(release):
            require(release, kind, told)
            release, last = tell(connection, release, last, kind, told, order.person, order.reason, now)
    if not order.dry_run:
        publish_decided(workspace, release, f"is {release.state.replace('_', ' ')} at revision {release.revision}", now)
    return release


def _require_known(release: Release, variants: Mapping[str, Any] | Sequence[str]) -> None:
    known = [o.variant for o in release.manifests]
    if strange := sorted(set(variants) - set(known)):
        raise NotFound(f"release '{release.id}' has no variant '{strange[0]}'", hint=f"it has {', '.join(known)}")
