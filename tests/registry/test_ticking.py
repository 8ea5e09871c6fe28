"""A rollout opens by itself as far as reports prove it, and stops by itself when they tell against it."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.workspace import open_workspace
from components.workspace.errors import ApprovalNeeded, Conflict, GateFailed, InputError
from registry import rollout
from registry.device import check
from registry.rollout import Order, State
from registry.rollout.evidence import Evidence
from registry.rollout.gates import read_gates
from registry.rollout.release import Rules
from tests.registry.rollouts import VARIANT, after, alive, large, let_in, say, started, walk
from tests.registry.workspaces import artefacts, canary, image_root, proofs, repository_of, version


def kinds(workspace: object, release_id: str) -> list[str]:
    return [e.kind.value for e in rollout.history(workspace, release_id)][6:]  # type: ignore[arg-type]


def test_a_good_release_reaches_everyone_without_a_person(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    begun = started(workspace)
    assert [c.devices for c in begun.offer(VARIANT).cuts] == [20]
    done = walk(workspace, begun.id, hours=8)
    assert done.state == State.COMPLETED
    assert kinds(workspace, begun.id) == ["widened"] * 3 + ["promoted", "promoted", "completed"]
    assert [c.devices for c in done.offer(VARIANT).cuts] == [20, 40, 60, 80, 200, 400, 400]


def test_a_bad_release_halts_in_its_canary(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    halted = walk(workspace, started(workspace).id, hours=8, bad=5)
    offer = halted.offer(VARIANT)
    assert (halted.state, offer.plan.name) == (State.HALTED, "canary")
    assert offer.why.startswith("failures: ")
    assert offer.cuts[-1].devices <= 60


@pytest.mark.parametrize("before", ["reverted_at", "rejected_at", "installed_at"])
def test_what_went_wrong_is_not_undone_by_how_the_old_model_does(before: str, tmp_path: Path) -> None:
    """A device that fell back goes on stating its health, of what it ran before."""
    workspace = large(tmp_path)
    begun = started(workspace)
    devices = let_in(workspace, begun.id)
    say(workspace, begun.id, "running", devices, after(minutes=30), running_sha256="0" * 64, **{before: 1})
    rollout.tick(workspace, now=after(hours=1))
    (view,) = rollout.views(workspace, rollout.show_release(workspace, begun.id), now=after(hours=1))
    assert (view.evidence.failed, view.offer.state) == (len(devices), State.HALTED)


def test_what_runs_and_fails_its_own_test_has_failed(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    begun = started(workspace)
    say(workspace, begun.id, "installed", let_in(workspace, begun.id), after(minutes=30), self_test_passed=False)
    rollout.tick(workspace, now=after(hours=1))
    assert rollout.show_release(workspace, begun.id).state == State.HALTED


def test_a_wave_waits_for_the_reports_of_the_one_before(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    begun = started(workspace)
    inside = let_in(workspace, begun.id)
    alive(workspace, inside, after(hours=0))
    say(workspace, begun.id, "installed", inside[:17], after(minutes=10))
    assert rollout.tick(workspace, now=after(hours=2)) == ()
    say(workspace, begun.id, "installed", inside[:18], after(hours=2))
    (step,) = rollout.tick(workspace, now=after(hours=3))
    assert (step.event, step.reason) == ("widened", "wave 2 of 4")


def test_devices_that_fall_silent_are_failures_once_their_time_is_up(tmp_path: Path) -> None:
    """Nine of twenty were alive when the release reached them, and have said nothing since."""
    workspace = large(tmp_path)
    begun = started(workspace)
    inside = let_in(workspace, begun.id)
    alive(workspace, inside[:9], after(hours=-1))
    say(workspace, begun.id, "installed", inside[9:], after(hours=1))
    assert rollout.tick(workspace, now=after(hours=23)) == ()
    (step,) = rollout.tick(workspace, now=after(hours=24))
    assert (step.event, step.reason.partition(",")[0]) == ("halted", "failures: 9 of 20")


def test_a_device_that_began_and_was_not_heard_again_is_a_failure_too(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    begun = started(workspace)
    say(workspace, begun.id, "started", let_in(workspace, begun.id)[:8], after(hours=3))
    assert rollout.tick(workspace, now=after(hours=26)) == ()
    (step,) = rollout.tick(workspace, now=after(hours=27))
    assert step.event == "halted"


def test_devices_that_were_off_for_long_say_nothing_about_the_release(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    begun = started(workspace)
    inside = let_in(workspace, begun.id)
    alive(workspace, inside[:10], after(days=-30))
    say(workspace, begun.id, "installed", inside[10:], after(hours=1))
    assert [s.event for s in rollout.tick(workspace, now=after(hours=30))] == ["widened"]


def test_a_canary_that_says_nothing_at_all_is_held_for_a_person(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    begun = started(workspace)
    (step,) = rollout.tick(workspace, now=after(hours=24))
    assert (step.event, step.reason) == ("held", "the gate cannot decide: no device has said anything")
    say(workspace, begun.id, "installed", let_in(workspace, begun.id), after(hours=25))
    assert [s.event for s in rollout.tick(workspace, now=after(hours=26))] == ["resumed", "widened"]


@pytest.mark.slow
def test_a_canary_that_cannot_decide_grows_before_it_asks(tmp_path: Path) -> None:
    """Five of a hundred is more than accepted and less than intolerable: nobody can know from eighty devices."""
    workspace = large(tmp_path)
    begun = started(workspace)
    held = walk(workspace, begun.id, hours=12, bad=20)
    assert kinds(workspace, begun.id)[:6] == ["widened"] * 3 + ["widened", "widened", "held"]
    offer = held.offer(VARIANT)
    assert [c.devices for c in offer.cuts] == [20, 40, 60, 80, 160, 200]
    assert offer.why.startswith("the gate cannot decide: promotion")
    assert offer.plan.name == "canary"


@pytest.mark.slow
def test_a_gate_halts_its_variant_or_the_whole_release_as_the_policy_says(tmp_path: Path) -> None:
    for policy, other in (("variant", State.RUNNING), ("release", State.HALTED)):
        workspace = large(tmp_path / policy, policy=f"  halt: {policy}\n")
        rows = (workspace.root / "inventory.csv").read_text()
        more = "".join(f"gx-{i:03},north,gateway,3.0.0,plant-{i},,\n" for i in range(200))
        (workspace.root / "inventory.csv").write_text(rows + more)
        rollout_inventory(workspace)
        begun = started(workspace)
        say(workspace, begun.id, "failed", let_in(workspace, begun.id)[:10], after(minutes=5))
        rollout.tick(workspace, now=after(hours=1))
        states = {o.variant: o.state for o in rollout.show_release(workspace, begun.id).manifests}
        assert states == {VARIANT: State.HALTED, "gateway-v3": other}


def rollout_inventory(workspace: object) -> None:
    from registry.inventory import import_devices

    import_devices(workspace)  # type: ignore[arg-type]


def test_success_is_what_runs_not_what_was_written(tmp_path: Path) -> None:
    """A device that fell back at its boot says 'installed', and the digest of what it fell back to."""
    workspace = large(tmp_path)
    begun = started(workspace)
    inside = let_in(workspace, begun.id)
    say(workspace, begun.id, "installed", inside, after(minutes=5), running_sha256="ee" * 32)
    (step,) = rollout.tick(workspace, now=after(hours=1))
    assert (step.event, step.reason.partition(",")[0]) == ("halted", "failures: 20 of 20")


def test_a_download_that_may_succeed_at_the_next_attempt_is_no_failure_yet(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    begun = started(workspace)
    inside = let_in(workspace, begun.id)
    say(workspace, begun.id, "failed", inside, after(minutes=5), reason="too_slow", attempt=2)
    assert rollout.tick(workspace, now=after(hours=1)) == ()
    say(workspace, begun.id, "failed", inside, after(hours=1), reason="too_slow", attempt=3)
    assert [s.event for s in rollout.tick(workspace, now=after(hours=2))] == ["halted"]


def test_a_reading_above_its_limit_halts_as_failures_do(tmp_path: Path) -> None:
    workspace = large(tmp_path, gates=", metrics: [{name: latency_us, limit: 20000, accepted_bp: 500}]")
    begun = started(workspace)
    inside = let_in(workspace, begun.id)
    say(workspace, begun.id, "installed", inside, after(minutes=5), latency_us=15_000)
    assert [s.event for s in rollout.tick(workspace, now=after(hours=1))] == ["widened"]
    say(workspace, begun.id, "installed", let_in(workspace, begun.id), after(hours=1), latency_us=25_000)
    (step,) = rollout.tick(workspace, now=after(hours=2))
    assert step.event == "halted"
    assert step.reason.startswith("latency_us: 40 of 40")


def test_the_control_group_is_kept_back_and_compared(tmp_path: Path) -> None:
    """More anomalies than on devices that still run the old version: something is wrong, whatever the absolute number."""
    workspace = large(tmp_path, policy="  control_share: 0.1\n", gates=", metrics: [{name: anomaly_milli}]")
    begun = started(workspace)
    offer = begun.offer(VARIANT)
    assert [s.quota for s in offer.stages] == [80, 200, 360]
    kept = control(workspace, begun.id)
    assert len(kept) == 40
    say(workspace, begun.id, "running", kept, after(minutes=4), running_sha256="ee" * 32, anomaly_milli=10)
    say(workspace, begun.id, "installed", let_in(workspace, begun.id), after(minutes=5), anomaly_milli=10)
    rollout.tick(workspace, now=after(hours=1))
    say(workspace, begun.id, "installed", let_in(workspace, begun.id), after(hours=1), anomaly_milli=25)
    (step,) = rollout.tick(workspace, now=after(hours=2))
    assert step.reason.startswith("anomaly_milli_against_control: 40 of 40")


def control(workspace: object, release_id: str) -> list[str]:
    from registry.contract.cohort import bucket

    offer = rollout.show_release(workspace, release_id).offer(VARIANT)  # type: ignore[arg-type]
    return [i for i in (f"gw-{n:04}" for n in range(400)) if bucket(release_id, i) >= offer.control_from]


def test_a_dry_run_shows_the_steps_that_are_due_and_takes_none(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    begun = started(workspace)
    say(workspace, begun.id, "installed", let_in(workspace, begun.id), after(minutes=5))
    planned = rollout.tick(workspace, dry_run=True, now=after(hours=1))
    assert rollout.show_release(workspace, begun.id) == begun
    assert rollout.tick(workspace, now=after(hours=1)) == planned


def test_a_stage_too_small_to_decide_is_refused_with_the_size_it_needs(tmp_path: Path) -> None:
    workspace = large(tmp_path, canary=0.05)
    with pytest.raises(GateFailed, match="stage 'canary' has 20 devices, and its gate needs 33 to decide"):
        rollout.draft(workspace, version(), artefacts(), proofs(), "pipeline")
    assert rollout.list_releases(workspace) == []


def test_no_site_gives_more_than_its_share_of_the_canary(tmp_path: Path) -> None:
    from collections import Counter

    workspace = large(tmp_path, policy="  canary_per_site: 2\n")
    begun = started(workspace)
    plan = begun.offer(VARIANT).stages[0]
    from registry.contract.cohort import bucket

    first = [
        n for n in range(400) if bucket(begun.id, f"gw-{n:04}") < plan.upto and f"gw-{n:04}" not in begun.offer(VARIANT).deferred
    ]
    assert len(first) == 80
    assert max(Counter(n % 80 for n in first).values()) <= 2


def test_a_site_cap_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    workspace = large(tmp_path, policy="  canary_per_site: 1\n", canary=0.4)
    with pytest.raises(GateFailed, match="cannot have at most 1 of a site"):
        rollout.draft(workspace, version(), artefacts(), proofs(), "pipeline")


def test_a_rollback_takes_back_those_who_run_it_and_nobody_else(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    first = started(workspace)
    walk(workspace, first.id, hours=8)
    old = first.offer(VARIANT).artefact_sha256
    second = started(workspace, number=2, label="b", now=after(hours=8))
    facts = canary(workspace, second, VARIANT)
    place, root, state = str(repository_of(workspace)), image_root(workspace), tmp_path / "device"
    assert check(place, root, facts.model_copy(update={"running_sha256": old}), state, now=after(hours=9)).install

    say(workspace, second.id, "installed", let_in(workspace, second.id), after(hours=8, minutes=5))
    back = rollout.rollback(workspace, second.id, Order("ana", "too many alarms"), now=after(hours=9))
    assert back.state == State.ROLLING_BACK
    new = second.offer(VARIANT).artefact_sha256
    decision = check(place, root, facts.model_copy(update={"running_sha256": new}), state, now=after(hours=9))
    assert decision.install
    assert decision.manifest is not None
    assert (decision.manifest.state, decision.manifest.artifact.sha256) == ("rollback", old)
    assert decision.manifest.sequence_number > second.offer(VARIANT).sequence
    waiting = check(place, root, facts.model_copy(update={"running_sha256": "ee" * 32}), tmp_path / "other", now=after(hours=9))
    assert waiting.reason == "not_withdrawn"

    say(workspace, second.id, "installed", let_in(workspace, second.id), after(hours=10), running_sha256=old)
    assert [s.event for s in rollout.tick(workspace, now=after(hours=10))] == ["rolled_back"]
    assert rollout.verify(workspace).published


def test_a_first_release_has_nothing_to_go_back_to(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    begun = started(workspace)
    with pytest.raises(Conflict, match="there is nothing to go back to"):
        rollout.rollback(workspace, begun.id, Order("ana", "no"))
    assert rollout.show_release(workspace, begun.id) == begun


def test_after_two_persons_let_it_go_on_only_new_reports_can_halt_it_again(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    begun = started(workspace)
    inside = let_in(workspace, begun.id)
    say(workspace, begun.id, "failed", inside[:8], after(minutes=10))
    say(workspace, begun.id, "installed", inside[8:], after(minutes=10))
    assert [s.event for s in rollout.tick(workspace, now=after(hours=1))] == ["halted"]
    with pytest.raises(ApprovalNeeded):
        rollout.resume(workspace, begun.id, Order("ana", "a flat battery"), now=after(hours=2))
    rollout.resume(workspace, begun.id, Order("ben", "all of one batch"), now=after(hours=2))
    assert [s.event for s in rollout.tick(workspace, now=after(hours=3))] == ["widened"]
    fresh = [d for d in let_in(workspace, begun.id) if d not in inside]
    say(workspace, begun.id, "failed", fresh[:8], after(hours=4))
    (step,) = rollout.tick(workspace, now=after(hours=5))
    assert step.reason.startswith("failures: 8 of 8")


@pytest.mark.slow
def test_what_everyone_runs_is_told_anew_before_it_expires(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    begun = started(workspace)
    done = walk(workspace, begun.id, hours=8).offer(VARIANT)
    assert rollout.tick(workspace, now=after(days=40)) == ()
    assert [s.event for s in rollout.tick(workspace, now=after(days=46))] == ["renewed"]
    told = rollout.show_release(workspace, begun.id).offer(VARIANT)
    assert (told.state, told.sequence > done.sequence, told.created > done.created) == (State.COMPLETED, True, True)


def test_a_release_that_nobody_goes_on_with_expires(tmp_path: Path) -> None:
    workspace = large(tmp_path)
    begun = started(workspace)
    rollout.pause(workspace, begun.id, Order("ana", "later"), now=after(hours=1))
    assert [s.event for s in rollout.tick(workspace, now=after(days=91))] == ["expired"]


def test_a_manifest_longer_than_devices_read_is_refused_at_the_draft(tmp_path: Path) -> None:
    workspace = large(tmp_path, policy="  canary_per_site: 1\n  windows: ['22:00-05:00', '06:00-07:00']\n")
    text = (workspace.root / "muster.yaml").read_text()
    names = [f"s{'x' * 58}-{i:02}" for i in range(15)]
    stages = "".join(f"    - {{name: {n}, share: {0.16 + i / 20}}}\n" for i, n in enumerate(names))
    head, _, tail = text.partition("    - {name: canary")
    pinned = ", ".join(f"gw-{i:04}" for i in range(32))
    changed = head + stages + "    - {name: all, share: 1.0}\n" + tail[tail.index("  canary_per") :]
    changed = changed.replace("    inventory: inventory.csv\n", f"    inventory: inventory.csv\n    pinned: [{pinned}]\n")
    (workspace.root / "muster.yaml").write_text(changed)
    with pytest.raises(InputError, match="fewer stages or shorter names"):
        rollout.draft(open_workspace(workspace.root), version(), artefacts(), proofs(), "pipeline")


@pytest.mark.slow
def test_postgresql_weighs_the_same(postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def weighed(root: Path) -> object:
        workspace = large(root)
        begun = started(workspace)
        devices = let_in(workspace, begun.id)
        alive(workspace, devices[:15], after(minutes=-30))
        say(workspace, begun.id, "installed", devices[:4], after(minutes=20), latency_us=900)
        say(workspace, begun.id, "failed", devices[4:6], after(minutes=25), reason="unreachable")
        say(workspace, begun.id, "running", devices[6:8], after(minutes=25), running_sha256="0" * 64, reverted_at=1)
        (view,) = rollout.views(workspace, rollout.show_release(workspace, begun.id), now=after(hours=1))
        return view.evidence

    here = weighed(tmp_path / "sqlite")
    monkeypatch.setenv("MUSTER_DATABASE_URL", postgresql)
    assert weighed(tmp_path / "postgresql") == here


def test_the_first_reports_of_a_fleet_never_heard_of_open_nothing_yet(tmp_path: Path) -> None:
    """Nobody else is known to be alive, so that a wave could seem to have reported after its first device."""
    workspace = large(tmp_path)
    begun = started(workspace)
    say(workspace, begun.id, "installed", let_in(workspace, begun.id)[:1], after(minutes=2))
    assert rollout.tick(workspace, now=after(minutes=10)) == ()
    assert [s.event for s in rollout.tick(workspace, now=after(minutes=30))] == ["widened"]


def test_failing_more_often_than_the_control_group_tells_against_a_release(tmp_path: Path) -> None:
    workspace = large(tmp_path, policy="  control_share: 0.1\n")
    begun = started(workspace)
    inside, kept = let_in(workspace, begun.id), control(workspace, begun.id)
    say(workspace, begun.id, "running", kept, after(minutes=1), running_sha256="ee" * 32)
    say(workspace, begun.id, "installed", inside, after(minutes=5))

    def evidence() -> float:
        (view,) = rollout.views(workspace, rollout.show_release(workspace, begun.id), now=after(hours=1))
        return next(r.evidence for r in view.outlook.readings if r.gate == "failures_against_control")

    calm = evidence()
    say(workspace, begun.id, "failed", inside[:6], after(minutes=5))
    failing = evidence()
    say(workspace, begun.id, "running", kept[:12], after(minutes=1), running_sha256="ee" * 32, errors=3)
    assert calm < failing
    assert evidence() < failing


def test_the_gates_of_all_variants_share_one_promise() -> None:
    found = Evidence(50, 50, 44, 6, 0, 50, 0, judged=50, judged_bad=6)
    rules = Rules(200, 1000, 100, 500, 86_400)
    alone, among_ten = (read_gates(found, rules, variants)[0] for variants in (1, 10))
    assert alone.reached
    assert among_ten.evidence == alone.evidence
    assert among_ten.threshold == pytest.approx(alone.threshold + 1)
    assert not among_ten.reached
