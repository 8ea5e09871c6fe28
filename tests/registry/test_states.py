"""The reducer: whatever happens in whatever order, a release keeps its invariants."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from components.workspace.errors import Conflict, VerificationFailed
from registry.contract.manifest import Manifest
from registry.contract.times import stamp, utc_now
from registry.rollout.events import Event, following, verify
from registry.rollout.manifests import manifest_of
from registry.rollout.policy import promoted
from registry.rollout.release import Offer, Release, Rules, StagePlan, Wave, Way
from registry.rollout.replaying import apply, replay
from registry.rollout.states import EDGES, ENROLLING, OFFERED, TERMINAL, Kind, State

VARIANTS = ("gateway-v2", "gateway-v3")
STAGES = (
    StagePlan("canary", 60, (Wave(1, 100_000), Wave(2, 300_000))),
    StagePlan("half", 60, (Wave(5, 5_000_000),)),
    StagePlan("all", 60, (Wave(10, 10_000_000),), "people"),
)
NAMED = frozenset({Kind.STARTED, Kind.WIDENED, Kind.PROMOTED, Kind.COMPLETED})
UNHEARD = frozenset({Kind.HELD, Kind.RESUMPTION_APPROVED, Kind.ROLLED_BACK})
DIGEST, OLDER = "ab" * 32, "cd" * 32
RULES = Rules(200, 1000, 100, 500, 60)
BACK = Way(1, "pumps", 2, OLDER, 90, 1, "onnxruntime", "1.20")


def drafted() -> Event:
    offer = {
        "profile": "gateway",
        "firmware": ">=2",
        "devices": 10,
        "artefact_sha256": DIGEST,
        "length": 100,
        "runtime": "onnxruntime",
        "runtime_minimal": "1.20",
        "proof_level": "native",
        "stages": [asdict(s) for s in STAGES],
        "sequence": 1,
        "path": "",
        "deferred": ["gw-007"],
        "control_from": 10_000_000,
    }
    payload = {
        "fleet": "north",
        "model_name": "pumps",
        "model_version": 3,
        "counter": 2,
        "expires_days": 90,
        "not_before": "",
        "windows": [],
        "pinned": ["gw-001"],
        "rules": asdict(RULES),
        "offers": [offer | {"variant": v} for v in VARIANTS],
        "skipped": [],
    }
    return following(None, "north-r2", stamp(utc_now()), "pipeline", Kind.DRAFTED, payload)


class Rollouts(RuleBasedStateMachine):
    """Random events, legal and illegal, about one variant or both, against one release."""

    @initialize()
    def draft(self) -> None:
        self.log = [drafted()]
        self.release = replay(self.log)
        self.sequence = 1

    def facts(self, kind: Kind, offer: Offer) -> dict[str, object]:
        if kind in UNHEARD or kind in (Kind.SUBMITTED, Kind.RELEASED, Kind.DISPLACED, Kind.DENIED):
            return {}
        self.sequence += 1
        told: dict[str, object] = {"sequence": self.sequence}
        if kind == Kind.STARTED:
            wave = STAGES[0].waves[0]
            return told | {"upto": wave.upto, "devices": wave.quota, "previous": asdict(BACK)}
        if kind == Kind.WIDENED:
            more = min(10_000_000, offer.cuts[-1].upto * 2) if offer.cuts else 1
            return told | {"upto": more, "devices": 2, "extension": offer.wave + 1 == len(offer.plan.waves)}
        if kind in (Kind.PROMOTED, Kind.COMPLETED) and offer.cuts:
            wanted, facts = promoted(offer)
            return told | (facts if wanted == kind else {"upto": 10_000_000, "devices": 10})
        return told

    @rule(
        kind=st.sampled_from([k for k in Kind if k != Kind.DRAFTED]),
        actor=st.sampled_from(["ana", "ben"]),
        variants=st.sampled_from([None, VARIANTS[:1], VARIANTS[1:], VARIANTS]),
    )
    def happens(self, kind: Kind, actor: str, variants: tuple[str, ...] | None) -> None:
        before = self.release
        if not before.started or kind == Kind.STARTED:
            variants = VARIANTS if kind == Kind.STARTED else None
        payload: dict[str, object] = {"reason": "because"}
        if variants is not None:
            payload["variants"] = {v: self.facts(kind, before.offer(v)) for v in variants}
        elif kind in NAMED:
            payload["variants"] = {v: self.facts(kind, before.offer(v)) for v in VARIANTS}
        if kind == Kind.APPROVED:
            payload |= {"version": 1, "digest": DIGEST, "keyid": "k", "signature": "s"}
        event = following(self.log[-1], "north-r2", stamp(utc_now()), actor, kind, payload)
        touched = [before.offer(v) for v in (payload.get("variants") or VARIANTS)]
        legal = all((o.state, kind) in EDGES and not (kind == Kind.PROMOTED and o.last_stage) for o in touched)
        if not legal:
            with pytest.raises(Conflict):
                apply(before, event)
            return
        self.log.append(event)
        self.release = apply(before, event)
        self.keeps_going_up(before, {o.variant for o in touched})

    def keeps_going_up(self, before: Release, touched: set[str]) -> None:
        assert self.release.revision == before.revision + 1
        for old, new in zip(before.manifests, self.release.manifests, strict=True):
            assert new.sequence >= old.sequence
            assert [c.upto for c in new.cuts] == sorted(c.upto for c in new.cuts)
            assert new.cuts[: len(old.cuts)] == old.cuts
            assert new.stage >= old.stage
            assert new.live <= old.live or old.state == State.READY
            if old.variant not in touched:
                assert new == old
            if old.state == State.HALTED and new.state != State.RUNNING:
                assert new.cuts == old.cuts

    @invariant()
    def the_log_tells_the_same_release_again(self) -> None:
        verify("north-r2", tuple(self.log))
        assert replay(self.log) == self.release

    @invariant()
    def nothing_starts_without_a_signature(self) -> None:
        if any(o.state in OFFERED for o in self.release.manifests):
            kinds = [e.kind for e in self.log]
            assert kinds.index(Kind.RELEASED) < kinds.index(Kind.STARTED)

    @invariant()
    def a_release_is_as_its_worst_variant(self) -> None:
        states = {o.state for o in self.release.manifests}
        assert self.release.state in states
        assert self.release.open == bool(states - TERMINAL)

    @precondition(lambda self: self.release.started)
    @rule()
    def its_manifests_can_be_built(self) -> None:
        for offer in self.release.manifests:
            first, second = (manifest_of(replay(self.log), offer) for _ in range(2))
            assert first.to_bytes() == second.to_bytes()
            assert Manifest.from_bytes(first.to_bytes()) == first
            assert (first.state in ("running", "completed")) == (offer.state in ENROLLING)
            if first.state in ("running", "completed"):
                assert first.upto == offer.cuts[-1].upto
            if first.state == "rollback":
                assert (first.artifact.sha256, first.withdrawn) == (OLDER, DIGEST)


TestRollouts = Rollouts.TestCase
TestRollouts.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.slow
def test_no_walk_of_fifty_thousand_steps_breaks_an_invariant() -> None:
    run_state_machine_as_test(Rollouts, settings=settings(max_examples=1000, stateful_step_count=50, deadline=None))


def test_no_state_is_out_of_reach_and_no_ended_release_goes_on() -> None:
    """But for one that devices already have: a person may take it back."""
    reached = {State.DRAFT}
    while more := {end for (start, _), end in EDGES.items() if start in reached} - reached:
        reached |= more
    assert reached == set(State)
    moves = {(start, kind) for (start, kind), end in EDGES.items() if end != start and start in TERMINAL}
    assert moves == {(State.COMPLETED, Kind.ROLLBACK_STARTED)}


def test_every_state_that_is_not_terminal_can_be_ended() -> None:
    ends = {start for (start, _), end in EDGES.items() if end in TERMINAL and end != start}
    assert ends == set(State) - TERMINAL


def test_only_the_states_that_say_so_let_a_device_in() -> None:
    assert not {State.HALTED, State.PAUSED, State.ROLLING_BACK} & ENROLLING


def test_a_log_begins_with_its_draft() -> None:
    event = following(None, "north-r2", stamp(utc_now()), "ana", Kind.STARTED, {})
    with pytest.raises(Conflict, match="begins with"):
        replay([event])


def test_an_event_of_another_release_does_not_fit() -> None:
    with pytest.raises(VerificationFailed):
        verify("north-r3", (drafted(),))
