"""The reducer: whatever happens in whatever order, a release keeps its invariants."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from components.workspace.errors import Conflict, VerificationFailed
from registry.contract.times import stamp, utc_now
from registry.rollout.events import Event, following, verify
from registry.rollout.manifests import manifest_of
from registry.rollout.release import Offer, Release, StagePlan, apply, replay
from registry.rollout.states import EDGES, OFFERED, TERMINAL, Kind, State

VARIANTS = ("gateway-v2", "gateway-v3")
STAGES = (StagePlan("canary", 1, 100_000, 60), StagePlan("half", 5, 5_000_000, 60), StagePlan("all", 10, 10_000_000, 60))
DIGEST = "ab" * 32


def drafted() -> Event:
    offer = Offer(VARIANTS[0], "gateway", ">=2", 10, DIGEST, 100, "onnxruntime", "1.20", "native", STAGES, 1, "")
    payload = {
        "fleet": "north",
        "model_name": "pumps",
        "model_version": 3,
        "counter": 1,
        "expires_days": 90,
        "gates": {"p0_bp": 200, "pmax_bp": 1000, "alpha_halt_bp": 100, "alpha_promote_bp": 500, "report_deadline_s": 60},
        "manifests": [asdict(offer) | {"variant": v} for v in VARIANTS],
        "skipped": [],
    }
    return following(None, "north-r1", stamp(utc_now()), "pipeline", Kind.DRAFTED, payload)


class Rollouts(RuleBasedStateMachine):
    """Random events, legal and illegal, against one release."""

    @initialize()
    def draft(self) -> None:
        self.log = [drafted()]
        self.release = replay(self.log)
        self.sequence = 0

    def payload(self, kind: Kind) -> dict[str, object]:
        if kind == Kind.APPROVED:
            return {"version": 1, "digest": DIGEST, "keyid": "k", "signature": "s", "reason": ""}
        if kind == Kind.STARTED:
            self.sequence += 1
            return {"variants": {v: {"sequence": self.sequence, "previous": None} for v in VARIANTS}}
        if kind == Kind.PROMOTED:
            self.sequence += 1
            return {"sequences": dict.fromkeys(VARIANTS, self.sequence)}
        return {"variants": [VARIANTS[0]]} if kind == Kind.DISPLACED else {}

    @rule(kind=st.sampled_from([k for k in Kind if k != Kind.DRAFTED]), actor=st.sampled_from(["ana", "ben"]))
    def happens(self, kind: Kind, actor: str) -> None:
        event = following(self.log[-1], "north-r1", stamp(utc_now()), actor, kind, self.payload(kind))
        before = self.release
        if (before.state, kind) not in EDGES or (kind == Kind.PROMOTED and before.stage == len(STAGES) - 1):
            with pytest.raises(Conflict):
                apply(before, event)
            return
        self.log.append(event)
        self.release = apply(before, event)
        self.keeps_going_up(before)

    def keeps_going_up(self, before: Release) -> None:
        assert self.release.revision == before.revision + 1
        assert self.release.stage >= before.stage
        for old, new in zip(before.manifests, self.release.manifests, strict=True):
            assert new.sequence >= old.sequence
            assert new.live <= old.live or before.state == State.READY

    @invariant()
    def the_log_tells_the_same_release_again(self) -> None:
        verify("north-r1", tuple(self.log))
        assert replay(self.log) == self.release

    @invariant()
    def nothing_starts_without_a_signature(self) -> None:
        if self.release.state in OFFERED:
            kinds = [e.kind for e in self.log]
            assert kinds.index(Kind.RELEASED) < kinds.index(Kind.STARTED)

    @precondition(lambda self: self.release.state in OFFERED)
    @rule()
    def its_manifests_can_be_built(self) -> None:
        for offer in self.release.manifests:
            first, second = (manifest_of(replay(self.log), offer) for _ in range(2))
            assert first.to_bytes() == second.to_bytes()
            assert (first.state == "running") == (self.release.state == State.RUNNING)


TestRollouts = Rollouts.TestCase
TestRollouts.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_no_state_is_out_of_reach_and_no_ended_release_goes_on() -> None:
    reached = {State.DRAFT}
    while more := {end for (start, _), end in EDGES.items() if start in reached} - reached:
        reached |= more
    assert reached == set(State)
    moves = {start for (start, kind), end in EDGES.items() if end != start}
    assert not moves & TERMINAL


def test_every_state_that_is_not_terminal_can_be_ended() -> None:
    ends = {start for (start, _), end in EDGES.items() if end in TERMINAL and end != start}
    assert ends == set(State) - TERMINAL


def test_a_log_begins_with_its_draft() -> None:
    event = following(None, "north-r1", stamp(utc_now()), "ana", Kind.STARTED, {})
    with pytest.raises(Conflict, match="begins with"):
        replay([event])


def test_an_event_of_another_release_does_not_fit() -> None:
    with pytest.raises(VerificationFailed):
        verify("north-r2", (drafted(),))
