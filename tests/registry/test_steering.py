"""What persons do with a release that runs, by the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.workspace import Workspace
from registry import rollout
from registry.contract.times import utc_now
from registry.device import check
from registry.rollout import State
from tests.registry.cli import Run
from tests.registry.rollouts import VARIANT, large, let_in, say, started
from tests.registry.workspaces import canary, image_root, release, repository_of

ANA, BEN = ("--person", "ana", "--reason", "because"), ("--person", "ben", "--reason", "because")


def states(workspace: Workspace) -> dict[str, State]:
    return {o.variant: o.state for o in rollout.show_release(workspace, "north-r1").manifests}


def data(output: str) -> Any:
    document = json.loads(output)
    assert document["schema_version"] == 1
    return document["data"]


def told(workspace: Workspace, state: Path) -> str:
    facts = canary(workspace, rollout.show_release(workspace, "north-r1"))
    return str(check(str(repository_of(workspace)), image_root(workspace), facts, state).reason)


def test_a_pause_reaches_devices_and_a_resume_lets_them_go_on(released: Workspace, muster: Run, tmp_path: Path) -> None:
    assert told(released, tmp_path / "d") == "offered"
    assert muster("release", "pause", "north-r1", released.root, *ANA)[0] == 0
    assert told(released, tmp_path / "d") == "not_running"
    assert muster("release", "pause", "north-r1", released.root, *ANA)[0] == 5
    assert muster("release", "resume", "north-r1", released.root, *BEN)[0] == 0
    assert told(released, tmp_path / "d") == "offered"


def test_a_hold_lets_those_go_on_who_were_let_in(released: Workspace, muster: Run, tmp_path: Path) -> None:
    code, output, _ = muster("release", "hold", "north-r1", released.root, *ANA, "--variant", "gateway-v2", "--json")
    assert code == 0
    assert {o["variant"]: o["state"] for o in data(output)["manifests"]} == {
        "gateway-v2": "held",
        "gateway-v3": "running",
        "node-v2": "running",
    }
    assert told(released, tmp_path / "d") == "offered"


def test_promotion_by_a_person_goes_stage_by_stage_until_everyone_has_it(released: Workspace, muster: Run) -> None:
    for stage in (1, 2):
        assert muster("release", "promote", "north-r1", released.root, *ANA)[0] == 0
        assert rollout.show_release(released, "north-r1").stage == stage
    assert muster("release", "promote", "north-r1", released.root, *ANA)[0] == 0
    assert set(states(released).values()) == {State.COMPLETED}
    code, _, error = muster("release", "promote", "north-r1", released.root, *ANA)
    assert (code, "it has ended; draft a new one" in error) == (5, True)


def test_going_on_after_a_halt_takes_two_persons_with_their_keys(released: Workspace, muster: Run, tmp_path: Path) -> None:
    assert muster("release", "halt", "north-r1", released.root, *ANA)[0] == 0
    assert told(released, tmp_path / "d") == "not_running"
    code, _, error = muster("release", "resume", "north-r1", released.root, *ANA)
    assert (code, "a second person has to resume it" in error) == (7, True)
    assert muster("release", "resume", "north-r1", released.root, *ANA)[0] == 5
    assert muster("release", "resume", "north-r1", released.root, "--person", "eve", "--reason", "x")[0] == 3
    assert set(states(released).values()) == {State.HALTED}
    assert muster("release", "resume", "north-r1", released.root, *BEN)[0] == 0
    assert set(states(released).values()) == {State.RUNNING}


def test_a_second_halt_forgets_who_wanted_to_go_on_after_the_first(released: Workspace, muster: Run) -> None:
    for _ in range(2):
        muster("release", "halt", "north-r1", released.root, *ANA)
        assert muster("release", "resume", "north-r1", released.root, *ANA)[0] == 7
        assert muster("release", "resume", "north-r1", released.root, *BEN)[0] == 0


def test_an_aborted_release_has_ended_and_devices_keep_what_they_run(released: Workspace, muster: Run, tmp_path: Path) -> None:
    assert muster("release", "abort", "north-r1", released.root, *ANA)[0] == 0
    assert set(states(released).values()) == {State.ABORTED}
    assert told(released, tmp_path / "d") == "not_running"
    assert muster("release", "resume", "north-r1", released.root, *ANA)[0] == 5


def test_a_draft_that_nobody_wants_can_be_ended(drafted: Workspace, muster: Run) -> None:
    assert muster("release", "abort", "north-r1", drafted.root, *ANA)[0] == 0
    assert set(states(drafted).values()) == {State.CANCELLED}


def test_a_rollback_is_told_under_a_new_number_and_only_from_the_release_it_takes_back(
    released: Workspace, muster: Run, tmp_path: Path
) -> None:
    second = release(released, 2, "b")
    before = second.offer("gateway-v2")
    code, output, _ = muster("release", "rollback", second.id, released.root, *ANA, "--json")
    assert code == 0
    offer = next(o for o in data(output)["manifests"] if o["variant"] == "gateway-v2")
    assert (offer["state"], offer["sequence"] > before.sequence) == ("rolling_back", True)
    assert muster("release", "verify", released.root)[0] == 0
    facts = canary(released, second).model_copy(update={"running_sha256": before.artefact_sha256})
    decision = check(str(repository_of(released)), image_root(released), facts, tmp_path / "d")
    assert (decision.install, decision.manifest.artifact.version if decision.manifest else None) == (True, 1)
    third = release(released, 3, "c")
    assert third.offer("gateway-v2").previous.version == 1  # type: ignore[union-attr]


def test_a_dry_run_shows_the_outcome_and_changes_nothing(released: Workspace, muster: Run) -> None:
    before = rollout.show_release(released, "north-r1")
    code, output, error = muster("release", "rollback", "north-r1", released.root, *ANA, "--dry-run")
    assert (code, "nothing to go back to" in error) == (5, True)
    code, output, error = muster("release", "abort", "north-r1", released.root, *ANA, "--dry-run")
    assert (code, "aborted" in output, "nothing was changed" in error) == (0, True, True)
    assert rollout.show_release(released, "north-r1") == before


def test_who_decided_on_an_older_state_gets_a_conflict(released: Workspace, muster: Run) -> None:
    seen = rollout.show_release(released, "north-r1").revision
    assert muster("release", "hold", "north-r1", released.root, *ANA, "--revision", seen)[0] == 0
    code, _, error = muster("release", "halt", "north-r1", released.root, *ANA, "--revision", seen)
    assert (code, f"you saw {seen}" in error) == (5, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("release", "pause", "nowhere-r1", *ANA), 3, "there is no release"),
        (("release", "pause", "north-r1", *ANA, "--variant", "toaster"), 3, "has no variant 'toaster'"),
        (("release", "pause", "north-r1", "--person", "ana", "--reason", " "), 2, "the reason is empty"),
        (("release", "status", "nowhere-r1"), 3, "there is no release"),
        (("release", "draft", "--not-before", "tomorrow"), 2, "'tomorrow' is no time"),
        (("release", "draft", "--actor", " "), 2, "--actor is empty"),
        (("release", "deny", "north-r1", *ANA), 5, "muster release abort|halt|hold|pause|promote north-r1"),
        (("release", "approve", "north-r1", *ANA), 5, "muster release abort|halt|hold|pause|promote north-r1"),
    ],
)
def test_a_wrong_order_is_a_short_error(
    released: Workspace, muster: Run, arguments: tuple[str, ...], code: int, message: str
) -> None:
    words = list(arguments)
    place = 3 if words[1] != "draft" else 2
    words.insert(place, str(released.root))
    ended, output, error = muster(*words)
    assert (ended, message in error, output) == (code, True, "")


def test_the_status_has_counts_gates_and_what_comes_next(tmp_path: Path, muster: Run) -> None:
    workspace = large(tmp_path)
    begun = started(workspace)
    inside = let_in(workspace, begun.id)
    say(workspace, begun.id, "installed", inside[:15], utc_now())
    say(workspace, begun.id, "started", inside[15:], utc_now())
    code, output, _ = muster("release", "status", begun.id, workspace.root, "--json")
    (variant,) = data(output)["variants"]
    counts = variant["evidence"]
    assert (code, counts["enrolled"], counts["ok"], counts["pending"]) == (0, 20, 15, 5)
    assert (variant["stage"], variant["wave"], variant["waves"]) == ("canary", 1, 4)
    assert [(g["gate"], g["n"], g["bad"], g["reached"]) for g in variant["gates"]] == [
        ("failures", 20, 0, False),
        ("promotion", 20, 5, False),
    ]
    assert variant["waits_for"] == "reports of wave 1 of 4"
    text = muster("release", "status", begun.id, workspace.root)[1]
    assert "waits for reports of wave 1 of 4, at the latest" in text
    say(workspace, begun.id, "failed", inside, utc_now())
    assert "due at the next tick: halted (failures: 20 of 20" in muster("release", "status", begun.id, workspace.root)[1]
    code, output, _ = muster("release", "tick", workspace.root, "--dry-run", "--json")
    assert [t["event"] for t in data(output)] == ["halted"]
    assert muster("release", "tick", workspace.root)[0] == 0
    assert rollout.show_release(workspace, begun.id).offer(VARIANT).state == State.HALTED
    assert muster("release", "tick", workspace.root)[1] == "nothing is due\n"


def test_watching_ends_with_the_release(released: Workspace, muster: Run) -> None:
    for _ in range(3):
        muster("release", "promote", "north-r1", released.root, *ANA)
    code, output, _ = muster("release", "status", "north-r1", released.root, "--watch", "--json")
    (line,) = output.splitlines()
    assert (code, json.loads(line)["data"]["state"]) == (0, "completed")


def test_a_diff_shows_what_each_variant_ran_before_and_will_run(released: Workspace, muster: Run) -> None:
    first = rollout.show_release(released, "north-r1")
    second = release(released, 2, "b")
    rows = {r["variant"]: r for r in data(muster("release", "diff", second.id, "--in", released.root, "--json")[1])}
    assert rows["gateway-v2"]["before"]["sha256"] == first.offer("gateway-v2").artefact_sha256
    assert (rows["gateway-v2"]["before"]["version"], rows["gateway-v2"]["after"]["version"]) == (1, 2)
    code, output, _ = muster("release", "diff", "north-r1", "--in", released.root)
    assert (code, "none -> 1" in output) == (0, True)
    assert muster("release", "diff", second.id, "north-r1", "--in", released.root)[0] == 0


def test_devices_do_not_install_before_their_time(drafted: Workspace, muster: Run, tmp_path: Path) -> None:
    from datetime import timedelta

    from tests.registry.workspaces import artefacts, proofs, version

    later = utc_now() + timedelta(hours=5)
    rollout.abort(drafted, "north-r1", rollout.Order("ana", "another time"))
    (planned,) = rollout.draft(drafted, version(), artefacts(), proofs(), "pipeline", again=True, not_before=later)
    for person in ("ana", "ben"):
        rollout.approve(drafted, planned.id, person, "fine")
    facts = canary(drafted, rollout.show_release(drafted, planned.id))
    where = (str(repository_of(drafted)), image_root(drafted), facts, tmp_path / "d")
    assert check(*where).reason == "not_yet"
    assert check(*where, now=later).install


def test_denying_can_be_rehearsed(drafted: Workspace, muster: Run) -> None:
    code, output, error = muster("release", "deny", "north-r1", drafted.root, *ANA, "--dry-run", "--json")
    assert (code, data(output)["state"], "nothing was denied" in error) == (0, "approval_denied", True)
    assert set(states(drafted).values()) == {State.WAITING_FOR_APPROVAL}


@pytest.mark.parametrize(
    ("person", "code", "message"), [("zoe", 3, "not one of those who may release"), (" ", 2, "no person is named")]
)
def test_the_log_names_only_persons_who_may_release(
    released: Workspace, muster: Run, person: str, code: int, message: str
) -> None:
    before = rollout.show_release(released, "north-r1")
    ended, _, error = muster("release", "abort", "north-r1", released.root, "--person", person, "--reason", "x")
    assert (ended, message in error) == (code, True)
    assert rollout.show_release(released, "north-r1") == before


@pytest.mark.parametrize(
    ("person", "code", "message"), [("zoe", 3, "not one of those who may release"), ("", 2, "no person is named")]
)
def test_only_who_may_release_may_deny(drafted: Workspace, muster: Run, person: str, code: int, message: str) -> None:
    ended, _, error = muster("release", "deny", "north-r1", drafted.root, "--person", person, "--reason", "x")
    assert (ended, message in error) == (code, True)
    assert set(states(drafted).values()) == {State.WAITING_FOR_APPROVAL}


def test_a_rehearsed_approval_is_refused_as_the_real_one(drafted: Workspace, muster: Run) -> None:
    """By whoever has no key, and by whoever has signed already."""
    these = ("release", "approve", "north-r1", drafted.root, "--reason", "x", "--person")
    refused = muster(*these, "zoe", "--dry-run")
    assert (refused[0], refused) == (3, muster(*these, "zoe"))
    assert muster(*these, "ana", "--dry-run")[0] == 0
    assert muster(*these, "ana")[0] == 0
    assert muster(*these, "ana", "--dry-run")[0] == 5
    assert muster(*these, "ben", "--dry-run")[0] == 0


def test_what_has_not_started_is_aborted_as_a_whole(drafted: Workspace, muster: Run) -> None:
    code, _, error = muster("release", "abort", "north-r1", drafted.root, *ANA, "--variant", "gateway-v2")
    assert (code, "aborted as a whole" in error) == (2, True)
    assert set(states(drafted).values()) == {State.WAITING_FOR_APPROVAL}


def test_who_was_slower_reads_no_sql(drafted: Workspace, muster: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's event lands between the look and the writing."""
    seen = rollout.history(drafted, "north-r1")
    assert muster("release", "approve", "north-r1", drafted.root, *ANA)[0] == 0
    monkeypatch.setattr("registry.rollout.approval.history", lambda *_: seen)
    code, _, error = muster("release", "approve", "north-r1", drafted.root, "--person", "ben", "--reason", "x")
    assert (code, "someone else changed it first" in error, "UNIQUE" in error) == (5, True, False)
