"""Devices poll, judge what they are told with the device's own rules, take it up, and report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import numpy as np

from registry.contract.manifest import Manifest
from registry.contract.reasons import Reason
from registry.contract.report import RUNS, Report
from registry.contract.times import stamp
from registry.device import Facts
from registry.device.floors import Floors
from registry.device.judge import reason_to_wait, refuse_wrong
from registry.device.refusal import Refused
from registry.rollout import Offer, Release
from registry.rollout.evidence import ABSENT, METRICS
from registry.simulator.acting import End, Said, course
from registry.simulator.clients import Published
from registry.simulator.crowd import Crowd, Ints, clock_error
from registry.simulator.post import Post
from registry.simulator.scenario import Group, Lying, OldFirmware, Scenario, WrongClock

_ENROLLING = ("running", "completed")
_THE_SAME_FOR_ALL = (Reason.NOT_YET, Reason.OUTSIDE_WINDOW)
"""Reasons to wait that depend on the time alone: all clocks run in UTC."""


class Life:
    """What the devices of a rehearsal do from step to step."""

    def __init__(self, release: Release, crowd: Crowd, scenario: Scenario, post: Post) -> None:
        self._offers = release.manifests
        self._fleet = release.fleet
        self._crowd = crowd
        self._scenario = scenario
        self._post = post
        self._clock = clock_error(scenario)
        kinds = [isinstance(g, WrongClock | OldFirmware) for g in scenario.groups]
        self._odd = np.array([*kinds, False])[crowd.group]
        self._lying = np.array([*(isinstance(g, Lying) for g in scenario.groups), False])[crowd.group]

    def step(self, told: Mapping[str, Published], until: int) -> None:
        """Every poll up to ``until``, seconds; ``told``: variant -> what stands in the repository meanwhile."""
        who, at = self._crowd.polling(until, self._scenario.poll_s)
        for place, offer in enumerate(self._offers):
            mine = self._crowd.variant[who] == place
            self._poll(offer, told[offer.variant], who[mine], at[mine])

    def _poll(self, offer: Offer, told: Published, who: Ints, at: Ints) -> None:
        crowd, manifest = self._crowd, told.manifest
        free = crowd.done_at[who] <= at
        inside = crowd.bucket[who] < manifest.upto
        asks = inside & (manifest.state in _ENROLLING)
        fresh = crowd.sequence[who] < manifest.sequence_number
        tries = free & (crowd.end[who] == End.WAITS) & ((asks & ~self._odd[who]) | (self._odd[who] & fresh))
        claims = free & self._lying[who] & ~inside & fresh
        waiting = self._try(offer, told, who[tries], at[tries])
        for i, time in zip(who[claims], at[claims], strict=True):
            crowd.sequence[i] = manifest.sequence_number
            self._say(offer, manifest, i, time, Said(0, "installed", new=True))
        told_off = crowd.end[who] == End.FAILED  # its last word is how the try ended
        states = free & ~told_off & (crowd.states_at[who] <= at) & ~self._odd[who] & ~(tries & ~np.isin(who, waiting))
        for i, time in zip(who[states], at[states], strict=True):
            crowd.states_at[i] = time + (self._scenario.statement_s or 0)
            self._say(offer, manifest, i, time, Said(0, "running", new=crowd.end[i] == End.RUNS))

    def _try(self, offer: Offer, told: Published, who: Ints, at: Ints) -> list[int]:
        """Those that did nothing, although it may be their turn."""
        waiting: list[int] = []
        for n, (i, time) in enumerate(zip(who.tolist(), at.tolist(), strict=True)):
            clock = datetime.fromtimestamp(time + int(self._clock[self._crowd.group[i]]), UTC)
            if clock >= told.fresh_until:
                self._crowd.refused[i] = True
                continue
            reason = self._judge(offer, told.manifest, i, time, clock)
            if reason is not None:
                waiting.append(i)
            if reason in _THE_SAME_FOR_ALL:
                return [*waiting, *who[n + 1 :].tolist()]
        return waiting

    def _judge(self, offer: Offer, manifest: Manifest, i: int, time: int, clock: datetime) -> Reason | None:
        """Why the device waits, None where it acted."""
        crowd = self._crowd
        facts = self._facts(offer, i)
        try:
            refuse_wrong(manifest, facts, Floors(sequence={manifest.path: int(crowd.sequence[i])}), clock)
        except Refused as refusal:
            crowd.refused[i], crowd.sequence[i] = True, manifest.sequence_number
            self._say(offer, manifest, i, time, Said(0, "rejected", passed=False, reason=refusal.reason))
            return None
        crowd.sequence[i] = manifest.sequence_number
        if wait := reason_to_wait(manifest, facts, clock):
            return wait[0]
        crowd.told[i] = True
        crowd.attempt[i] += 1
        taken = course(self._group(i), int(crowd.attempt[i]), self._scenario.install_s)
        for said in taken.said:
            self._say(offer, manifest, i, time, said)
        crowd.done_at[i] = time + taken.seconds
        given_up = taken.end == End.WAITS and crowd.attempt[i] >= manifest.gates.max_attempts
        crowd.end[i] = End.FAILED if given_up else taken.end
        return None

    def _say(self, offer: Offer, manifest: Manifest, i: int, time: int, said: Said) -> None:
        crowd = self._crowd
        crowd.counter[i] += 1
        at = int(time) + said.after
        report = Report(
            rollout_id=manifest.rollout_id,
            device_id=crowd.ids[i],
            firmware_variant=offer.variant,
            sequence_number=manifest.sequence_number,
            attempt=max(int(crowd.attempt[i]), 1),
            counter=int(crowd.counter[i]),
            boot_id=f"boot-{crowd.attempt[i]}-{said.after}",
            sent_at=stamp(datetime.fromtimestamp(at + int(self._clock[crowd.group[i]]), UTC)),
            outcome=said.outcome,
            reason=said.reason,
            running_sha256=manifest.artifact.sha256 if said.new else _before(offer),
            self_test_passed=said.passed,
            **self._readings(i, said),
        )
        self._post.send(report, crowd.signer[i], at)

    def _readings(self, i: int, said: Said) -> dict[str, Any]:
        if said.outcome not in RUNS:
            return {}
        values = (self._crowd.measures if said.new else self._crowd.measured)[i].tolist()
        return {name: value for name, value in zip(METRICS, values, strict=True) if value != ABSENT}

    def _facts(self, offer: Offer, i: int) -> Facts:
        return Facts(
            device_id=self._crowd.ids[i],
            fleet=self._fleet,
            firmware_variant=offer.variant,
            hardware_profile=offer.profile,
            firmware_version=self._crowd.firmware[i],
            runtime=offer.runtime,
            runtime_version=offer.runtime_minimal,
            running_sha256=_before(offer),
        )

    def _group(self, i: int) -> Group | None:
        number = int(self._crowd.group[i])
        return self._scenario.groups[number] if number >= 0 else None


def _before(offer: Offer) -> str:
    """What devices of the variant ran before."""
    return offer.previous.sha256 if offer.previous else sha256(f"before/{offer.variant}".encode()).hexdigest()
