"""A release starts only on proof, by two persons, and its log shows whatever was done to it."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from components.values import Proof
from components.workspace import Workspace, open_workspace
from components.workspace.errors import (
    ApprovalNeeded,
    Conflict,
    GateFailed,
    InputError,
    MusterError,
    NotFound,
    VerificationFailed,
)
from registry import rollout
from registry.contract.times import utc_now
from registry.database import documents, events, open_database, writing
from registry.device import check
from registry.inventory import import_devices
from registry.keys import init_keys, show_keys
from registry.rollout import State
from tests.registry.workspaces import (
    HEADER,
    artefacts,
    canary,
    gateway_artefact,
    image_root,
    make_workspace,
    node_artefact,
    proof,
    proofs,
    release,
    repository_of,
    two_fleets,
    version,
)


def draft(workspace: Workspace, number: int = 1, label: str = "a", **options: bool) -> rollout.Release:
    (drafted,) = rollout.draft(workspace, version(number), artefacts(label), proofs(label), "pipeline", **options)
    return drafted


def test_a_draft_has_one_manifest_for_each_variant_that_has_devices(stocked: Workspace) -> None:
    drafted = draft(stocked)
    assert (drafted.id, drafted.state, drafted.counter) == ("north-r1", State.WAITING_FOR_APPROVAL, 1)
    assert {(o.variant, o.profile, o.devices, o.sequence, o.path) for o in drafted.manifests} == {
        ("gateway-v2", "gateway", 15, 1, "fleets/north/gateway-v2/rollout.json"),
        ("gateway-v3", "gateway", 5, 1, "fleets/north/gateway-v3/rollout.json"),
        ("node-v2", "node", 4, 1, "fleets/north/node-v2/rollout.json"),
    }
    assert [s.quota for s in drafted.offer("gateway-v2").stages] == [2, 8, 15]


def test_drafting_the_same_version_again_gives_the_same_release(stocked: Workspace) -> None:
    assert draft(stocked) == draft(stocked)
    assert len(rollout.list_releases(stocked)) == 1


def test_a_dry_run_shows_the_draft_and_writes_nothing(stocked: Workspace) -> None:
    planned = draft(stocked, dry_run=True)
    assert rollout.list_releases(stocked) == []
    assert not repository_of(stocked).exists()
    assert planned.manifests == draft(stocked).manifests


@pytest.mark.parametrize(
    ("node_proof", "message"),
    [
        (proof(node_artefact(), passed=False), "profile 'node': the proof failed: label_agreement"),
        (proof(node_artefact(), level="none", passed=False), "profile 'node': the proof failed: label_agreement"),
        (proof(node_artefact("other")), "profile 'node': the artefact .* has no proof of its own"),
    ],
)
def test_what_is_not_proven_is_not_released(stocked: Workspace, node_proof: Proof, message: str) -> None:
    with pytest.raises(GateFailed, match=message):
        rollout.draft(stocked, version(), artefacts(), [proof(gateway_artefact()), node_proof], "pipeline")
    assert rollout.list_releases(stocked) == []


TOO_LOW = [
    ("host-compiled", "proof level 'host-compiled' is not in release.proof_levels; a better proof takes a board"),
    ("none", "not proven; a better proof takes a board"),
]


@pytest.mark.parametrize(("level", "reason"), TOO_LOW)
def test_a_profile_that_is_not_proven_far_enough_is_left_out(stocked: Workspace, level: str, reason: str) -> None:
    """Its devices are counted with the reason, and nothing of it is published, approved or signed."""
    weak = proof(node_artefact(), level=level, missing="a board")
    (drafted,) = rollout.draft(stocked, version(), artefacts(), [proof(gateway_artefact()), weak], "pipeline")
    assert {o.profile for o in drafted.manifests} == {"gateway"}
    assert [(s.profile, s.devices, s.reason) for s in drafted.skipped] == [("node", 4, reason)]
    rollout.approve(stocked, drafted.id, "ana", "fine")
    rollout.approve(stocked, drafted.id, "ben", "fine")
    published = {f.name for f in (repository_of(stocked) / "targets").rglob("*") if f.is_file()}
    assert not [name for name in published if node_artefact().sha256 in name]
    assert not (repository_of(stocked) / "targets/fleets/north/node-v2").exists()


@pytest.mark.parametrize(("level", "reason"), TOO_LOW)
def test_a_fleet_that_is_left_nothing_is_refused_by_the_gate(tmp_path: Path, level: str, reason: str) -> None:
    rows = [HEADER, "gw-1,north,gateway,7.0,,,", "node-1,north,node,2.0,,,gw-1"]
    workspace = make_workspace(tmp_path, devices="\n".join(rows) + "\n")
    import_devices(workspace)
    weak = proof(node_artefact(), level=level, missing="a board")
    with pytest.raises(GateFailed, match=f"nothing is left to offer to fleet 'north': profile 'node': {reason}"):
        rollout.draft(workspace, version(), artefacts(), [proof(gateway_artefact()), weak], "pipeline")
    assert rollout.list_releases(workspace) == []


def test_a_level_of_none_is_not_released_whatever_the_policy_says(stocked: Workspace) -> None:
    file = stocked.root / "muster.yaml"
    file.write_text(file.read_text() + "  proof_levels: [native, none]\n")
    unproven = [proof(a, level="none") for a in artefacts()]
    with pytest.raises(GateFailed, match="not proven"):
        rollout.draft(open_workspace(stocked.root), version(), artefacts(), unproven, "pipeline")


def test_a_profile_that_is_proven_later_is_drafted_anew_for_the_same_version(stocked: Workspace) -> None:
    weak = [proof(gateway_artefact()), proof(node_artefact(), level="host-compiled")]
    (first,) = rollout.draft(stocked, version(), artefacts(), weak, "pipeline")
    assert rollout.draft(stocked, version(), artefacts(), weak, "pipeline") == [first]
    second = draft(stocked)
    assert (second.id, {o.profile for o in second.manifests}) == ("north-r2", {"gateway", "node"})
    assert rollout.show_release(stocked, "north-r1").state == State.SUPERSEDED
    assert draft(stocked) == second


def test_a_fleet_without_devices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fleet 'north' has no devices"):
        draft(make_workspace(tmp_path))


def test_devices_that_a_release_does_not_reach_are_listed_with_the_reason(tmp_path: Path) -> None:
    rows = [HEADER, "gw-1,north,gateway,2.1,,,", "gw-2,north,gateway,7.0,,,", "node-1,north,node,2.0,,,gw-1"]
    workspace = make_workspace(tmp_path, devices="\n".join(rows) + "\n")
    import_devices(workspace)
    (drafted,) = rollout.draft(workspace, version(), [gateway_artefact()], [proof(gateway_artefact())], "pipeline")
    assert [(s.devices, s.reason) for s in drafted.skipped] == [
        (1, "no variant of fleet 'north' takes firmware 7.0"),
        (1, "the model has no artefact for profile 'node'"),
    ]


def test_two_persons_start_a_release(drafted: Workspace) -> None:
    first = rollout.approve(drafted, "north-r1", "ana", "metrics are better")
    assert (first.state, len(first.approvals)) == (State.WAITING_FOR_APPROVAL, 1)
    with pytest.raises(ApprovalNeeded, match="1 more person"):
        rollout.start(drafted, "north-r1")
    second = rollout.approve(drafted, "north-r1", "ben", "parity is fine")
    assert (second.state, second.stage) == (State.RUNNING, 0)
    assert rollout.start(drafted, "north-r1") == second
    assert [(e.kind, e.actor) for e in rollout.history(drafted, "north-r1")] == [
        ("drafted", "pipeline"),
        ("submitted", "pipeline"),
        ("approved", "ana"),
        ("approved", "ben"),
        ("released", "ben"),
        ("started", "ben"),
    ]


def test_an_approval_counts_though_nobody_here_can_publish(drafted: Workspace) -> None:
    """A release manager's laptop has no online keys: whoever has them publishes what the log says."""
    online = drafted.state / "keys/fleet-north.key"
    online.rename(online.with_suffix(".away"))
    rollout.approve(drafted, "north-r1", "ana", "fine")
    with pytest.raises(NotFound, match="approved and started, but not published yet"):
        rollout.approve(drafted, "north-r1", "ben", "fine")
    online.with_suffix(".away").rename(online)
    assert "timestamp" in rollout.reconcile(drafted)
    assert rollout.start(drafted, "north-r1").state == State.RUNNING


def test_devices_follow_a_root_and_targets_that_were_renewed(released: Workspace, tmp_path: Path) -> None:
    """A device in the field still has the first root in its image."""
    init_keys(released, now=utc_now() + timedelta(days=200))
    assert rollout.reconcile(released) == ("root", "targets", "snapshot", "timestamp")
    started = rollout.show_release(released, "north-r1")
    decision = check(str(repository_of(released)), image_root(released), canary(released, started), tmp_path / "device")
    assert decision.install


def test_one_person_cannot_approve_twice(drafted: Workspace) -> None:
    rollout.approve(drafted, "north-r1", "ana", "fine")
    with pytest.raises(Conflict, match="ana has approved"):
        rollout.approve(drafted, "north-r1", "ana", "very fine")


def test_the_author_alone_cannot_release(stocked: Workspace) -> None:
    rollout.draft(stocked, version(), artefacts(), proofs(), "ana")
    assert rollout.approve(stocked, "north-r1", "ana", "I made it").state == State.WAITING_FOR_APPROVAL
    with pytest.raises(Conflict):
        rollout.approve(stocked, "north-r1", "ana", "again")


def test_who_has_no_key_cannot_approve(drafted: Workspace) -> None:
    with pytest.raises(NotFound, match="people/eve"):
        rollout.approve(drafted, "north-r1", "eve", "let me in")


def test_a_key_that_nobody_trusts_cannot_approve(drafted: Workspace, tmp_path: Path) -> None:
    stranger = make_workspace(tmp_path / "stranger", people=("eve", "fay"))
    data = (stranger.state / "keys/people/eve.key").read_bytes()
    (drafted.state / "keys/people/eve.key").write_bytes(data)
    with pytest.raises(VerificationFailed, match="'eve' is not one of those that may release"):
        rollout.approve(drafted, "north-r1", "eve", "let me in")


def test_a_denied_release_has_ended_and_can_be_drafted_anew(drafted: Workspace) -> None:
    assert rollout.deny(drafted, "north-r1", "ana", "too slow on arm").state == State.APPROVAL_DENIED
    with pytest.raises(Conflict, match="approval denied"):
        rollout.approve(drafted, "north-r1", "ben", "fine")
    assert draft(drafted).id == "north-r1"
    assert draft(drafted, again=True).id == "north-r2"


def test_a_running_release_is_not_denied(released: Workspace) -> None:
    with pytest.raises(Conflict, match="it cannot be denied"):
        rollout.deny(released, "north-r1", "ana", "late")


def test_the_next_release_takes_over_under_higher_numbers(released: Workspace) -> None:
    second = release(released, 2, "b")
    first = rollout.show_release(released, "north-r1")
    assert (first.state, [o.live for o in first.manifests]) == (State.SUPERSEDED, [False] * 3)
    assert {(o.sequence, o.previous.version, o.previous.sequence) for o in second.manifests} == {(2, 1, 1)}
    assert second.offer("node-v2").previous.sha256 == node_artefact("a").sha256


def test_fleets_that_share_an_artefact_do_not_disturb_each_other(tmp_path: Path) -> None:
    """One entry for the artefact, under a counter of its own for each fleet; devices of both accept it."""
    workspace = two_fleets(tmp_path / "w")
    drafts = rollout.draft(workspace, version(), artefacts(), proofs(), "pipeline")
    for number, started in enumerate(drafts, start=1):
        rollout.approve(workspace, started.id, "ana", "fine")
        assert rollout.approve(workspace, started.id, "ben", "fine").proposal.version == number
    for started in rollout.list_releases(workspace):
        known, place = canary(workspace, started), str(repository_of(workspace))
        assert known.fleet == started.fleet
        assert check(place, image_root(workspace), known, tmp_path / known.device_id).install


def test_a_variant_that_the_next_release_does_not_reach_keeps_its_offer(released: Workspace) -> None:
    """No node was left when version 2 was drafted: nodes that come back still find version 1."""
    lines = (released.root / "inventory.csv").read_text().splitlines()
    (released.root / "inventory.csv").write_text("\n".join(line for line in lines if not line.startswith("node")) + "\n")
    import_devices(released)
    release(released, 2, "b")
    first = rollout.show_release(released, "north-r1")
    assert first.state == State.RUNNING
    assert [o.variant for o in first.manifests if o.live] == ["node-v2"]
    rollout.verify(released)


def test_a_newer_draft_supersedes_one_that_waits(drafted: Workspace) -> None:
    """Nobody approves by mistake what is no longer meant; the log says by which draft."""
    rollout.approve(drafted, "north-r1", "ana", "fine")
    assert draft(drafted, 2, "b").id == "north-r2"
    assert [r.state for r in rollout.list_releases(drafted)] == [State.SUPERSEDED, State.WAITING_FOR_APPROVAL]
    last = rollout.history(drafted, "north-r1")[-1]
    assert (last.kind, last.actor, last.payload) == ("superseded", "pipeline", {"by": "north-r2"})
    with pytest.raises(Conflict, match="superseded: it cannot be approved"):
        rollout.approve(drafted, "north-r1", "ben", "late")


def test_going_back_to_a_version_whose_draft_was_superseded_drafts_it_anew(drafted: Workspace) -> None:
    """Otherwise a configuration that was tried and taken back would leave nothing to approve."""
    draft(drafted, 2, "b")
    assert draft(drafted, 1).id == "north-r3"
    assert draft(drafted, 1).id == "north-r3"
    assert [r.state for r in rollout.list_releases(drafted)] == [State.SUPERSEDED] * 2 + [State.WAITING_FOR_APPROVAL]


def test_a_version_that_ran_and_was_replaced_takes_a_persons_word_to_come_back(released: Workspace) -> None:
    release(released, 2, "b")
    assert draft(released, 1).id == "north-r1"
    assert draft(released, 1, again=True).id == "north-r3"


def test_a_newer_draft_leaves_what_runs_alone(released: Workspace) -> None:
    draft(released, 2, "b")
    assert rollout.show_release(released, "north-r1").state == State.RUNNING


def test_a_dry_run_supersedes_nothing(drafted: Workspace) -> None:
    draft(drafted, 2, "b", dry_run=True)
    assert rollout.show_release(drafted, "north-r1").state == State.WAITING_FOR_APPROVAL


def test_an_approval_is_void_when_another_release_started_in_between(tmp_path: Path) -> None:
    """What was signed could no longer be published; the log shows it, and the person signs again."""
    workspace = two_fleets(tmp_path / "w")
    rollout.draft(workspace, version(), artefacts(), proofs(), "pipeline")
    rollout.approve(workspace, "south-r1", "ana", "fine")
    rollout.approve(workspace, "north-r1", "ana", "fine")
    rollout.approve(workspace, "north-r1", "ben", "fine")
    again = rollout.approve(workspace, "south-r1", "ben", "fine")
    assert (again.state, [a.person for a in again.approvals], again.voided) == (State.WAITING_FOR_APPROVAL, ["ben"], ("ana",))
    last = rollout.approve(workspace, "south-r1", "ana", "still fine")
    assert (last.state, last.voided) == (State.RUNNING, ())


def test_a_preview_signs_nothing(drafted: Workspace) -> None:
    seen = rollout.preview(drafted, "north-r1", "ana")
    assert (seen.version, seen.approvals, seen.needed, len(seen.paths)) == (1, (), 2, 2)
    assert rollout.show_release(drafted, "north-r1").revision == 2


def test_a_swapped_proposal_is_not_signed(drafted: Workspace) -> None:
    """The second person signs what the release says, whatever document lies in the database; the first signature is void."""
    rollout.approve(drafted, "north-r1", "ana", "fine")
    with writing(open_database(drafted.database_url)) as connection:
        connection.execute(sa.update(documents).values(body=b"{}"))
    after = rollout.approve(drafted, "north-r1", "ben", "fine", now=utc_now() + timedelta(seconds=5))
    assert (after.state, [a.person for a in after.approvals]) == (State.WAITING_FOR_APPROVAL, ["ben"])


def test_a_signed_document_that_changed_is_not_published(released: Workspace) -> None:
    with writing(open_database(released.database_url)) as connection:
        connection.execute(sa.update(documents).values(body=b"{}"))
    with pytest.raises(VerificationFailed, match="missing or changed"):
        rollout.reconcile(released)
    with pytest.raises(VerificationFailed, match="missing or changed"):
        rollout.verify(released)


@pytest.mark.parametrize("column", ["time", "actor", "kind", "payload", "prev_hash", "hash", "revision"])
@pytest.mark.parametrize("revision", [1, 3, 6])
def test_any_change_of_the_log_shows(released: Workspace, column: str, revision: int) -> None:
    change = {
        "time": "2020-01-01T00:00:00Z",
        "actor": "mallory",
        "kind": "denied",
        "payload": json.dumps({"reason": "other"}),
        "prev_hash": "1" * 64,
        "hash": "1" * 64,
        "revision": 99,
    }[column]
    with writing(open_database(released.database_url)) as connection:
        connection.execute(sa.update(events).where(events.c.revision == revision).values({column: change}))
    with pytest.raises(VerificationFailed, match="tampered"):
        rollout.show_release(released, "north-r1")


def test_a_removed_event_shows(released: Workspace) -> None:
    with writing(open_database(released.database_url)) as connection:
        connection.execute(sa.delete(events).where(events.c.revision == 4))
    with pytest.raises(VerificationFailed):
        rollout.verify(released)


def _approve_in_another_process(root: str, person: str, barrier: object, results: object) -> None:
    workspace = open_workspace(Path(root))
    barrier.wait()  # type: ignore[attr-defined]
    try:
        rollout.approve(workspace, "north-r1", person, "fine")
        results.put("won")  # type: ignore[attr-defined]
    except MusterError as error:
        results.put(type(error).__name__)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_of_writers_that_meet_one_wins_and_the_others_lose_cleanly(drafted: Workspace) -> None:
    """Four processes approve as the same person at once: one signature, three conflicts, a whole log."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    workers = [
        context.Process(target=_approve_in_another_process, args=(str(drafted.root), "ana", barrier, results)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    outcomes = sorted(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    assert outcomes == ["Conflict", "Conflict", "Conflict", "won"]
    assert [a.person for a in rollout.show_release(drafted, "north-r1").approvals] == ["ana"]


def test_keys_are_made_once_and_only_for_their_owner_to_read(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    before = show_keys(workspace)
    assert init_keys(workspace) == before
    assert {h.demo for h in before} == {True}
    assert all(f.stat().st_mode & 0o777 == 0o600 for f in (workspace.state / "keys").rglob("*.key"))
    assert {h.name for h in init_keys(workspace, ["cem"]) if h.role == "releases"} == {"ana", "ben", "cem"}


def test_a_person_who_joins_later_can_approve(released: Workspace) -> None:
    init_keys(released, ["cem"])
    draft(released, 2, "b")
    rollout.approve(released, "north-r2", "cem", "fine")
    assert rollout.approve(released, "north-r2", "ana", "fine").state == State.RUNNING


def test_encrypted_keys_need_their_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_KEY_PASSPHRASE", "correct horse")
    workspace = make_workspace(tmp_path)
    import_devices(workspace)
    draft(workspace)
    rollout.approve(workspace, "north-r1", "ana", "fine")
    monkeypatch.setenv("MUSTER_KEY_PASSPHRASE", "wrong")
    with pytest.raises(InputError, match="does not open"):
        rollout.approve(workspace, "north-r1", "ben", "fine")
    monkeypatch.delenv("MUSTER_KEY_PASSPHRASE")
    with pytest.raises(InputError, match="does not open"):
        rollout.approve(workspace, "north-r1", "ben", "fine")


def test_one_person_is_not_enough_for_keys(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two persons"):
        make_workspace(tmp_path, people=("ana",))


def test_an_artefact_whose_bytes_changed_after_its_proof_is_refused(stocked: Workspace) -> None:
    changed = replace(gateway_artefact(), members={**gateway_artefact().members, "label.txt": b"changed"})
    with pytest.raises(GateFailed, match="no proof of its own"):
        rollout.draft(stocked, version(), [changed, node_artefact()], proofs(), "pipeline")
