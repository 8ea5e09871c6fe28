"""The clock of a rehearsal: devices poll, act and report; every five minutes the registry looks, as it does on a server.

Between two looks nothing is published, so all polls of a step see the same manifests. Looks at which nothing can come out,
as no report has arrived and no date has passed, are left out, but for one every quarter of an hour.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np

from registry import rollout
from registry.database import open_database, writing
from registry.rollout import Order, Release, State, Taken
from registry.rollout.clock import stop
from registry.rollout.policy import is_undecided
from registry.rollout.states import TERMINAL, Kind
from registry.simulator.before import remember
from registry.simulator.clients import Clients, Published
from registry.simulator.crowd import Crowd, gather
from registry.simulator.living import Life
from registry.simulator.outcome import Happened, Outcome, sum_up
from registry.simulator.post import Post
from registry.simulator.scenario import FallingBack, Scenario, SlowDownload
from registry.simulator.scratch import PEOPLE, Stage

TICK = timedelta(minutes=5)
_QUIET = timedelta(minutes=15)
_REFRESHED = timedelta(hours=6)
"""How often devices' metadata is read again though nothing was decided: the registry signs it anew before it expires."""
_SHOWN = timedelta(hours=1)
LONGEST = timedelta(days=60)
_STANDING = frozenset({*TERMINAL, State.HALTED, State.HELD})
"""States in which nothing opens by itself."""


@dataclass(frozen=True)
class Plan:
    """``until``: 'complete', 'halt' to stop at the first halt, or simulated time that it goes on for, whatever happens;
    ``promote_after``: a person promotes what waits for people after so long, None: nobody does.
    """

    scenario: Scenario
    seed: int
    start: datetime
    until: Literal["complete", "halt"] | timedelta = "complete"
    promote_after: timedelta | None = None


@dataclass(frozen=True)
class Moment:
    """A look of the registry at which something happened, or an hour after the last one."""

    passed: timedelta
    release: Release
    taken: tuple[Taken, ...]
    crowd: Crowd
    now: int
    reports: int


def rehearse(stage: Stage, plan: Plan, watch: Callable[[Moment], None] = lambda _: None) -> Outcome:
    """Two persons approve ``stage``'s release at ``plan.start``; then it goes as its gates and devices want.

    'complete' is when every variant has ended, was halted or waits for people, and all devices have come to rest.

    Raises:
        InputError: the scenario has a group of a variant that is not offered.
        Refused: a device would refuse what was published.
    """
    plan.scenario.refuse_unknown([o.variant for o in stage.release.manifests])
    with tempfile.TemporaryDirectory(prefix="muster-clients-") as folder:
        return _Rehearsal(stage, plan, Path(folder), watch).run()


class _Rehearsal:
    def __init__(self, stage: Stage, plan: Plan, folder: Path, watch: Callable[[Moment], None]) -> None:
        rng = np.random.default_rng(plan.seed)
        self._stage, self._plan, self._watch = stage, plan, watch
        self._now = self._looked = self._read_at = self._shown = plan.start
        self._release = self._approved()
        start = int(plan.start.timestamp())
        self._crowd = gather(stage.workspace, self._release, stage.devices, plan.scenario, start, rng)
        database = open_database(stage.workspace.database_url)
        with writing(database) as connection:
            remember(connection, self._crowd, plan.scenario, start, rng)
        self._post = Post(database, stage.private, plan.scenario, rng)
        self._life = Life(self._release, self._crowd, plan.scenario, self._post)
        self._clients = Clients(stage, self._release, self._crowd, folder)
        self._told: dict[str, Published] = {}
        self._happened: dict[str, list[Happened]] = {o.variant: [] for o in self._release.manifests}
        self._waiting_since: dict[str, datetime] = {}
        self._stopped_at: datetime | None = None

    def run(self) -> Outcome:
        self._told = self._clients.read(self._now)
        while (ended := self._ended()) is None:
            self._now += TICK
            self._life.step(self._told, int(self._now.timestamp()))
            if self._post.deliver(self._now) or self._now - self._looked >= _QUIET:
                self._look()
        self._show()
        stop(self._stage.workspace, self._now)
        views = rollout.views(self._stage.workspace, self._release)
        passed = self._now - self._plan.start
        return sum_up(self._stage, self._crowd, views, self._happened, self._post, ended, passed, self._clients.verified)

    def _approved(self) -> Release:
        release = self._stage.release
        for person in PEOPLE:
            release = rollout.approve(self._stage.workspace, release.id, person, "a rehearsal", now=self._now)
        return release

    def _look(self) -> None:
        self._looked = self._now
        taken = rollout.tick(self._stage.workspace, now=self._now)
        decided = self._promote()
        if taken or decided:
            self._release = rollout.show_release(self._stage.workspace, self._release.id)
            self._note([*taken, *decided])
        if taken or decided or self._now - self._read_at >= _REFRESHED:
            self._told, self._read_at = self._clients.read(self._now), self._now
        if taken or decided or self._now - self._shown >= _SHOWN:
            self._shown = self._now
            self._show(*taken, *decided)

    def _show(self, *taken: Taken) -> None:
        now = int(self._now.timestamp())
        self._watch(Moment(self._passed, self._release, taken, self._crowd, now, self._post.reports))

    @property
    def _passed(self) -> timedelta:
        return self._now - self._plan.start

    def _promote(self) -> list[Taken]:
        """What has waited for people for long enough."""
        if self._plan.promote_after is None:
            return []
        waiting = {o.variant for o in self._release.manifests if is_undecided(o)}
        self._waiting_since = {v: self._waiting_since.get(v, self._now) for v in waiting}
        ready = [v for v, since in self._waiting_since.items() if self._now - since >= self._plan.promote_after]
        if not ready:
            return []
        order = Order(PEOPLE[0], "a rehearsal", sorted(ready))
        rollout.promote(self._stage.workspace, self._release.id, order, now=self._now)
        last = {o.variant for o in self._release.manifests if o.last_stage}
        kind = {v: Kind.COMPLETED if v in last else Kind.PROMOTED for v in ready}
        return [Taken(self._release.id, (v,), kind[v].value, f"by {PEOPLE[0]}") for v in order.variants]

    def _note(self, taken: list[Taken]) -> None:
        seconds = round(self._passed.total_seconds())
        for one in taken:
            for variant in one.variants:
                self._happened[variant].append(Happened(seconds, one.event, one.reason))

    def _ended(self) -> str | None:
        """Why it is over, None while it is not."""
        until = self._plan.until
        if self._passed >= (LONGEST if isinstance(until, str) else until):
            return "time is up"
        states = {o.state for o in self._release.manifests}
        if until == "halt" and State.HALTED in states:
            return "halted"
        stopped = states <= {*TERMINAL, State.HALTED} or (states <= _STANDING and self._plan.promote_after is None)
        if not stopped or isinstance(until, timedelta):
            self._stopped_at = None
            return None
        self._stopped_at = self._stopped_at or self._now
        if self._now - self._stopped_at < self._rest():
            return None
        return "waits for people" if states & {State.HELD} else "halted" if State.HALTED in states else "complete"

    def _rest(self) -> timedelta:
        """So long after nothing opens any more, every device that is there has polled, acted and been heard."""
        script = self._plan.scenario
        hours = [g.hours for g in script.groups if isinstance(g, SlowDownload | FallingBack)]
        return timedelta(seconds=script.poll_s + script.install_s + script.report_s, hours=max(hours, default=0)) + TICK
