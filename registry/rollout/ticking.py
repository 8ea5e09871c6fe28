"""Look at every release that runs, and let it take the steps that are due: the part that needs nobody.

Each look is one transaction a release: what was read, what was decided and what was written belong together, and of two
that look at once one gets a conflict and looks again at the next tick.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import sqlalchemy as sa

from components.workspace import Workspace
from components.workspace.errors import Conflict
from registry.contract.cohort import cut
from registry.contract.times import parse_stamp
from registry.database import open_database, reading, rehearsing, releases, writing
from registry.inventory import Group, count_devices
from registry.rollout import events
from registry.rollout.clock import now_in
from registry.rollout.evidence import Evidence, Watched, weigh
from registry.rollout.members import takes
from registry.rollout.policy import Outlook, Step, decide
from registry.rollout.publication import reconcile
from registry.rollout.release import Offer, Release, Wave
from registry.rollout.replaying import replay
from registry.rollout.states import Kind, State
from registry.rollout.telling import tell
from registry.rollout.watching import still_on, watch

ACTOR = "tick"
_ENDED_WELL = frozenset({State.COMPLETED, State.ROLLED_BACK})
_WATCHED = frozenset({State.RUNNING, State.PAUSED, State.HELD, State.ROLLING_BACK}) | _ENDED_WELL
_STEPS = 64
"""Steps of one variant at one tick at most: every stage with all its waves is fewer."""


@dataclass(frozen=True)
class Taken:
    """One step that a tick took. ``conflict``: someone else changed the release meanwhile; nothing was done."""

    release: str
    variants: tuple[str, ...]
    event: str
    reason: str


@dataclass(frozen=True)
class View:
    """A variant as it stands: what devices reported, what the gates say, and what comes next."""

    offer: Offer
    evidence: Evidence
    outlook: Outlook


def tick(workspace: Workspace, *, dry_run: bool = False, now: datetime | None = None) -> tuple[Taken, ...]:
    """Evaluate the gates of every release that runs, take the steps that are due, and publish them.

    Raises:
        MusterError: the repository could not be written; the steps are taken, and the next tick publishes them.
    """
    judged_at = now or now_in(workspace)
    taken: list[Taken] = []
    for release_id in _running(workspace):
        try:
            taken += _look(workspace, release_id, judged_at, dry_run=dry_run)
        except Conflict as error:
            taken.append(Taken(release_id, (), "conflict", error.message))
    if not dry_run:
        reconcile(workspace, now=now)
    return tuple(taken)


def views(workspace: Workspace, release: Release, *, now: datetime | None = None) -> tuple[View, ...]:
    """Every live variant of a release that has started."""
    now = now or now_in(workspace)
    groups = count_devices(workspace, fleet=release.fleet)
    with reading(open_database(workspace.database_url)) as connection:
        live = [o for o in release.manifests if o.live]
        return tuple(_view(release, o, _Watching(connection, release, o, groups).columns, now) for o in live)


def _running(workspace: Workspace) -> list[str]:
    with reading(open_database(workspace.database_url)) as connection:
        ids = connection.scalars(sa.select(releases.c.id).order_by(releases.c.fleet, releases.c.counter)).all()
        found = (replay(events.read(connection, i)) for i in ids)
        return [r.id for r in found if any(o.live and o.state in _WATCHED for o in r.manifests)]


def _look(workspace: Workspace, release_id: str, now: datetime, *, dry_run: bool) -> list[Taken]:
    taken: list[Taken] = []
    with (rehearsing if dry_run else writing)(open_database(workspace.database_url)) as connection:
        log = events.read(connection, release_id)
        release, last = replay(log), log[-1]
        groups = count_devices(workspace, fleet=release.fleet)
        for variant in [o.variant for o in release.manifests]:
            watched = _Watching(connection, release, release.offer(variant), groups)
            for _ in range(_STEPS):
                step = _due(connection, release, release.offer(variant), watched, now)
                if step is None:
                    break
                named = _affected(release, variant, step)
                taken.append(Taken(release.id, tuple(named), step.kind.value, step.reason))
                release, last = tell(connection, release, last, step.kind, named, ACTOR, step.reason, now)
    return taken


def _affected(release: Release, variant: str, step: Step) -> dict[str, dict[str, object]]:
    """A halt may take the other variants along."""
    if step.kind == Kind.HALTED and release.rules.halt == "release":
        haltable = (State.RUNNING, State.PAUSED, State.HELD)
        return {o.variant: {} for o in release.manifests if o.live and o.state in haltable}
    return {variant: step.facts}


def _due(connection: sa.Connection, release: Release, offer: Offer, watching: _Watching, now: datetime) -> Step | None:
    if not offer.live or offer.state not in _WATCHED:
        return None
    if offer.state == State.ROLLING_BACK:
        return _rolled_back(connection, release, offer, now)
    told, lifetime = parse_stamp(offer.created), timedelta(days=release.expires_days)
    if offer.state in _ENDED_WELL:
        return Step(Kind.RENEWED, "its manifest is past half of its lifetime") if now >= told + lifetime / 2 else None
    if now >= told + lifetime:
        return Step(Kind.EXPIRED, f"its manifest was valid for {release.expires_days} days")
    return _view(release, offer, watching.columns, now).outlook.step


def _rolled_back(connection: sa.Connection, release: Release, offer: Offer, now: datetime) -> Step | None:
    """Done when no device says that it runs the artefact, or may; those that stay silent are waited for one deadline long."""
    left = still_on(connection, release, offer)
    if left == 0:
        return Step(Kind.ROLLED_BACK, "no device runs it any more")
    if now >= parse_stamp(offer.created) + timedelta(seconds=release.rules.report_deadline_s):
        return Step(Kind.ROLLED_BACK, f"{left} devices have not said that they went back")
    return None


class _Watching:
    """What devices of a variant said, read once a transaction, and only where a decision hangs on it."""

    def __init__(self, connection: sa.Connection, release: Release, offer: Offer, groups: Iterable[Group]) -> None:
        self._asked = (connection, release, offer, [g for g in groups if takes(offer, g)])

    @cached_property
    def columns(self) -> Watched:
        return watch(*self._asked)


def _view(release: Release, offer: Offer, watched: Watched, now: datetime) -> View:
    seconds = int(now.timestamp())
    judged_from = int(parse_stamp(offer.judged_from).timestamp()) if offer.judged_from else 0
    evidence = weigh(watched, offer.cuts, offer.control_from, release.rules, seconds, judged_from=judged_from)
    return View(offer, evidence, decide(release, offer, evidence, seconds, largest=_largest(offer, watched)))


def _largest(offer: Offer, watched: Watched) -> Wave | None:
    """Twice the devices of now, but never more than the next stage; None where that is no more."""
    if offer.last_stage:
        return None
    enrolled = int(np.count_nonzero(watched.bucket < offer.cuts[-1].upto))
    after = offer.stages[offer.stage + 1]
    count = min(2 * enrolled, after.quota)
    return Wave(count, min(cut(watched.bucket, count), after.upto)) if count > enrolled else None
