"""The repository is whole at every moment, whoever dies or meets whom."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from components.workspace import Workspace, open_workspace
from components.workspace.errors import Conflict, NotFound, VerificationFailed
from registry import rollout
from registry.contract.times import utc_now
from registry.database import given_versions, open_database, writing
from registry.device import check
from registry.keys import rotate_key
from registry.repository import InForce, expiring_offline, publish, refresh_expiring
from registry.repository.store import Folder, Store, open_store
from registry.repository.versions import remember
from registry.rollout.publication import reconcile
from tests.registry.faults import Dying, Killed, to_bucket
from tests.registry.workspaces import (
    artefacts,
    canary,
    gateway_artefact,
    given_of,
    image_root,
    proofs,
    register,
    release,
    repository_of,
    version,
)


def half_published(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Release 2 is approved and in the log; nobody has published it."""
    (drafted,) = rollout.draft(workspace, version(2), artefacts("b"), proofs("b"), "pipeline")
    rollout.approve(workspace, drafted.id, "ana", "fine")
    monkeypatch.setattr("registry.rollout.approval.publish_decided", lambda *_a, **_k: ())
    rollout.approve(workspace, drafted.id, "ben", "fine")


def released_from_registry(workspace: Workspace, label: str) -> rollout.Release:
    """A release of a version that the model registry has."""
    found = register(workspace, label)
    (drafted,) = rollout.draft(workspace, found, artefacts(label), proofs(label), "pipeline")
    rollout.approve(workspace, drafted.id, "ana", "fine")
    return rollout.approve(workspace, drafted.id, "ben", "fine")


def ask(workspace: Workspace, state: Path) -> int:
    """The sequence number that a fresh device sees."""
    shutil.rmtree(state, ignore_errors=True)
    known = canary(workspace, rollout.show_release(workspace, "north-r1"))
    decision = check(str(repository_of(workspace)), image_root(workspace), known, state)
    assert decision.manifest is not None
    return decision.manifest.sequence_number


@pytest.mark.slow
def test_a_publisher_killed_at_any_write_leaves_the_old_or_the_new_repository(
    released: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each point a fresh device reads a whole repository, and the next publisher goes on from there."""
    half_published(released, monkeypatch)
    seen, writes = [], 0
    before = tmp_path / "before"
    shutil.copytree(repository_of(released), before)
    while True:
        store = Dying(open_store(released), writes)
        try:
            reconcile(released, store=store)
        except Killed:
            seen.append(ask(released, tmp_path / "device"))
            reconcile(released)
            assert ask(released, tmp_path / "device") == 2
            shutil.rmtree(repository_of(released))
            shutil.copytree(before, repository_of(released))
            writes += 1
        else:
            break
    assert writes == 7, "three manifests, releases, the fleet, snapshot, timestamp"
    assert seen == [1] * 7
    assert ask(released, tmp_path / "device") == 2


@pytest.mark.slow
def test_a_first_publication_killed_at_any_write_goes_on(
    drafted: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout.approve(drafted, "north-r1", "ana", "fine")
    with monkeypatch.context() as patch:
        patch.setattr("registry.rollout.approval.publish_decided", lambda *_a, **_k: ())
        rollout.approve(drafted, "north-r1", "ben", "fine")
    writes = 0
    while True:
        shutil.rmtree(repository_of(drafted) / "metadata", ignore_errors=True)
        try:
            reconcile(drafted, store=Dying(open_store(drafted), writes))
        except Killed:
            assert (repository_of(drafted) / "metadata/timestamp.json").exists() == (writes == 5)
            reconcile(drafted)
            assert ask(drafted, tmp_path / "device") == 1
            writes += 1
        else:
            break
    assert writes == 6, "targets, releases, the fleet, snapshot, timestamp, root; the manifests stay from the first time"


def test_publishing_what_is_published_writes_nothing(released: Workspace) -> None:
    files = {f: f.stat().st_mtime_ns for f in repository_of(released).rglob("*.*") if f.name != ".publish.lock"}
    assert reconcile(released) == ()
    assert refresh_expiring(released) == ()
    assert files == {f: f.stat().st_mtime_ns for f in repository_of(released).rglob("*.*") if f.name != ".publish.lock"}


def test_replaying_the_log_gives_the_published_bytes(released: Workspace) -> None:
    assert [r.id for r in rollout.verify(released).releases] == ["north-r1"]
    file = next((repository_of(released) / "targets/fleets").rglob("*.json"))
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(VerificationFailed, match=r"rollout\.json"):
        rollout.verify(released)


@pytest.mark.parametrize(
    "lost",
    [
        "metadata/timestamp.json",
        "metadata/1.snapshot.json",
        "metadata/1.targets.json",
        "metadata/1.fleet-north.json",
        "metadata/1.releases.json",
        "targets/fleets/north/gateway-v2/*.rollout.json",
        "targets/artifacts/*.artefact",
    ],
)
def test_verification_names_what_is_missing_or_changed(released: Workspace, lost: str) -> None:
    file = next(repository_of(released).glob(lost))
    name, data = file.relative_to(repository_of(released)).as_posix(), file.read_bytes()
    file.unlink()
    with pytest.raises(VerificationFailed, match=name):
        rollout.verify(released)
    file.write_bytes(data[:-1] + b"?")
    with pytest.raises(VerificationFailed, match="not what the log says"):
        rollout.verify(released)
    file.write_bytes(data)
    assert rollout.verify(released).published == 5


def test_nothing_verifies_without_keys_or_repository(released: Workspace) -> None:
    shutil.rmtree(repository_of(released))
    with pytest.raises(VerificationFailed, match=r"timestamp\.json"):
        rollout.verify(released)
    shutil.rmtree(released.state / "trust")
    with pytest.raises(NotFound, match="no signing keys"):
        rollout.verify(released)


def test_before_the_first_release_there_is_nothing_to_find(drafted: Workspace) -> None:
    assert rollout.verify(drafted).published == 0


def test_versions_of_a_repository_from_before_they_were_kept_are_kept_now(released: Workspace) -> None:
    with writing(open_database(released.database_url)) as connection:
        connection.execute(sa.delete(given_versions))
    assert reconcile(released) == ()
    assert given_of(released) == {"fleet-north": 1, "snapshot": 1, "timestamp": 1}


def test_a_version_that_was_given_is_never_lowered(stocked: Workspace) -> None:
    remember(open_database(stocked.database_url), {"snapshot": 5, "timestamp": 9})
    remember(open_database(stocked.database_url), {"snapshot": 7, "timestamp": 3})
    assert given_of(stocked) == {"snapshot": 7, "timestamp": 9}


def test_a_device_with_a_memory_goes_on_after_the_metadata_was_lost(released: Workspace, tmp_path: Path) -> None:
    """Version numbers go on where they were: to begin at 1 again would look like an attack."""
    rotate_key(released, "timestamp")
    reconcile(released)
    known, place = canary(released, rollout.show_release(released, "north-r1")), str(repository_of(released))
    assert check(place, image_root(released), known, tmp_path / "device").install
    shutil.rmtree(repository_of(released) / "metadata")
    reconcile(released)
    assert check(place, image_root(released), known, tmp_path / "device").install
    rollout.verify(released)


@pytest.mark.slow
def test_a_lost_repository_is_restored_whole(stocked: Workspace, tmp_path: Path) -> None:
    """Metadata and manifests from the log, artefacts from the model registry; devices notice nothing."""
    started = [released_from_registry(stocked, label) for label in ("a", "b")][-1]
    known, place = canary(stocked, started), str(repository_of(stocked))
    assert check(place, image_root(stocked), known, tmp_path / "device").install
    shutil.rmtree(repository_of(stocked))
    assert {f"artifacts/{a.sha256}.artefact" for a in artefacts("b")} < set(reconcile(stocked))
    assert check(place, image_root(stocked), known, tmp_path / "device").install
    assert rollout.verify(stocked).published == 5
    assert reconcile(stocked) == ()


@pytest.mark.slow
def test_what_cannot_be_restored_is_named_and_stops_nothing_else(released: Workspace) -> None:
    """The model registry never heard of this version, or has other bytes under its number."""
    shutil.rmtree(repository_of(released))
    with pytest.raises(NotFound, match=r"of 'north-r1' for 'node' is lost: .*no version"):
        reconcile(released)
    assert len(list((repository_of(released) / "targets/fleets").rglob("*.rollout.json"))) == 3
    register(released, "b")
    with pytest.raises(VerificationFailed, match="other bytes for version 1"):
        reconcile(released)
    with pytest.raises(VerificationFailed, match=gateway_artefact().sha256):
        rollout.verify(released)


def test_nothing_is_published_before_the_keys_know_the_fleet(released: Workspace) -> None:
    with pytest.raises(NotFound, match="fleet 'south' has no key"):
        publish(released, {"south": {}}, None)


def test_a_published_name_never_changes(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    store.create("metadata/1.root.json", b"a")
    store.create("metadata/1.root.json", b"a")
    with pytest.raises(Conflict):
        store.create("metadata/1.root.json", b"b")
    store.replace("metadata/timestamp.json", b"1", None)
    with pytest.raises(Conflict):
        store.replace("metadata/timestamp.json", b"2", b"0")


def test_older_releases_metadata_is_never_published_over_newer(released: Workspace) -> None:
    old = (repository_of(released) / "metadata/1.releases.json").read_bytes()
    release(released, 2, "b")
    with pytest.raises(Conflict, match="is older"):
        publish(released, {}, InForce(1, lambda: old))


def test_offline_roles_near_their_expiry_are_named(stocked: Workspace) -> None:
    release(stocked)
    assert expiring_offline(stocked) == ()
    assert expiring_offline(stocked, now=utc_now() + timedelta(days=60)) == ("targets", "releases")


def test_devices_read_a_bucket_as_they_read_a_folder(stocked: Workspace, bucket: str, tmp_path: Path) -> None:
    workspace = to_bucket(stocked)
    started = release(workspace)
    assert check(bucket, image_root(workspace), canary(workspace, started), tmp_path / "device").install
    assert reconcile(workspace) == ()


@pytest.mark.slow
def test_a_lost_bucket_is_restored_whole(stocked: Workspace, bucket: str) -> None:
    import boto3

    workspace, client = to_bucket(stocked), boto3.client("s3")
    released_from_registry(workspace, "a")
    for item in client.list_objects_v2(Bucket="fleet", Prefix="edge/")["Contents"]:
        client.delete_object(Bucket="fleet", Key=item["Key"])
    with pytest.raises(VerificationFailed, match=r"timestamp\.json is not there"):
        rollout.verify(workspace)
    reconcile(workspace)
    assert rollout.verify(workspace).published == 5


def test_two_publishers_of_a_bucket_meet_in_a_conflict(stocked: Workspace, bucket: str) -> None:
    """Both saw the same state; the object store takes one of them."""
    store: Store = open_store(to_bucket(stocked))
    store.create("metadata/5.snapshot.json", b"mine")
    with pytest.raises(Conflict):
        store.create("metadata/5.snapshot.json", b"theirs")
    store.replace("metadata/timestamp.json", b"1", None)
    with pytest.raises(Conflict):
        store.replace("metadata/timestamp.json", b"2", None)
    store.replace("metadata/timestamp.json", b"2", b"1")
    assert store.read("metadata/timestamp.json") == b"2"
    assert sorted(store.names("metadata")) == ["5.snapshot.json", "timestamp.json"]


def test_a_lost_log_withdraws_nothing_and_is_not_called_well(released: Workspace) -> None:
    """With the database gone, publishing would offer nothing to anybody: both commands refuse instead."""
    for file in released.state.glob("registry.db*"):
        file.unlink()
    before = {f: f.read_bytes() for f in (released.state / "repository").rglob("*") if f.is_file()}
    for act in (rollout.reconcile, rollout.verify):
        with pytest.raises(Conflict, match="knows nothing of"):
            act(released)
    assert {f: f.read_bytes() for f in (released.state / "repository").rglob("*") if f.is_file()} == before


def test_how_long_signatures_count_is_the_workspaces_choice(stocked: Workspace) -> None:
    """The longer, the longer devices go on when nobody signs any more."""
    with (stocked.root / "muster.yaml").open("a") as file:
        file.write("registry:\n  valid_days: {timestamp: 3, fleet: 30}\n")
    workspace = open_workspace(stocked.root)
    now = utc_now()
    release(workspace, now=now)
    timestamp = json.loads((repository_of(workspace) / "metadata/timestamp.json").read_text())
    fleet = json.loads((repository_of(workspace) / "metadata/1.fleet-north.json").read_text())
    expires = [datetime.fromisoformat(m["signed"]["expires"]) for m in (timestamp, fleet)]
    assert [e - now for e in expires] == [timedelta(days=3), timedelta(days=30)]
