"""A mirror is the repository to the byte: a device may read either place, at any moment, and is never refused."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from components.workspace import Workspace, open_workspace
from components.workspace.errors import Conflict, VerificationFailed
from flows.rollouts import refresh
from registry import repository, rollout
from registry.contract.times import utc_now
from registry.keys import rotate_key
from registry.repository import mirror
from registry.repository.store import Folder, Overlay, Store, open_store
from registry.rollout.publication import reconcile
from tests.registry.cli import Run
from tests.registry.faults import Dying, Killed
from tests.registry.test_faults import halt, told, widen
from tests.registry.workspaces import register, repository_of


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def edge(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """(what a user names, where devices read it)."""
    if request.param == "folder":
        return (str(tmp_path / "edge"),) * 2
    return "s3://fleet/edge", request.getfixturevalue("bucket")


def copied(workspace: Workspace, place: str) -> tuple[str, ...]:
    return mirror(workspace, open_store(workspace), open_store(workspace, place))


def files(store: Store) -> set[str]:
    return store.below("metadata") | store.below("targets")


def test_a_device_that_reads_both_places_in_turn_is_never_refused(
    edge: tuple[str, str], released: Workspace, muster: Run, tmp_path: Path
) -> None:
    place, address = edge
    register(released, "a")
    started = rollout.show_release(released, "north-r1")
    for order, state in ((None, "running"), (halt, "halted")):
        if order:
            order(released)
        code, said, _ = muster("release", "publish", released.root, "--to", place, "--json")
        assert code == 0, said
        assert "metadata/timestamp.json" in json.loads(said)["data"]["mirrored"]
        for read in (address, str(repository_of(released)), address):
            assert told(released, read, tmp_path / "device", started).state == state
    ours, theirs = open_store(released), open_store(released, place)
    assert all(theirs.read(name) == ours.read(name) for name in files(theirs))
    assert "is the same already" in muster("release", "publish", released.root, "--to", place)[1]


def test_what_was_lost_there_is_put_back(edge: tuple[str, str], released: Workspace) -> None:
    place, _ = edge
    written = copied(released, place)
    assert {*written} == files(open_store(released, place))
    emptied = Folder(Path("/nonexistent"))
    again = Overlay(emptied)
    mirror(released, open_store(released), again)
    assert {*again.files} == {*written}


def test_a_rehearsal_names_the_files_of_both_places_and_writes_none(released: Workspace, muster: Run, tmp_path: Path) -> None:
    place = tmp_path / "edge"
    code, said, _ = muster("release", "publish", released.root, "--to", place, "--dry-run", "--json")
    assert code == 0
    named = json.loads(said)["data"]["files"]
    assert f"{place}/metadata/timestamp.json" in named
    assert not place.exists()
    copied(released, str(place))
    assert {n.removeprefix(f"{place}/") for n in named} == files(Folder(place))


@pytest.mark.slow
@pytest.mark.parametrize("change", ["a decision", "a new timestamp key"])
def test_wherever_the_copying_stops_devices_see_the_old_or_the_new(change: str, released: Workspace, tmp_path: Path) -> None:
    place = str(tmp_path / "edge")
    started = rollout.show_release(released, "north-r1")
    copied(released, place)
    assert told(released, place, tmp_path / "device", started).state == "running"
    _rotate(released) if change == "a new timestamp key" else halt(released)
    kills, seen = 0, ["running"]
    while True:
        try:
            mirror(released, open_store(released), Dying(Folder(Path(place)), kills))
        except Killed:
            seen.append(told(released, place, tmp_path / "device", started).state)
            kills += 1
        else:
            break
    seen.append(told(released, place, tmp_path / "device", started).state)
    assert kills >= 1
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == "halted"
    assert copied(released, place) == ()


def _rotate(workspace: Workspace, **how: bool) -> None:
    halt(workspace)
    rotate_key(workspace, "timestamp", **how)
    reconcile(workspace)


@pytest.mark.parametrize("how", [{}, {"compromised": True}])
def test_a_mirror_that_slept_through_a_change_of_keys_is_right_again(
    how: dict[str, bool], released: Workspace, tmp_path: Path
) -> None:
    place = str(tmp_path / "edge")
    started = rollout.show_release(released, "north-r1")
    copied(released, place)
    told(released, place, tmp_path / "device", started)
    rotate_key(released, "timestamp")
    reconcile(released)
    _rotate(released, **how)
    copied(released, place)
    assert told(released, place, tmp_path / "device", started).state == "halted"


def test_a_place_that_is_newer_is_left_alone(released: Workspace, tmp_path: Path) -> None:
    """An old backup of the workspace must not take a fleet back."""
    place = str(tmp_path / "edge")
    old = Overlay(Folder(tmp_path / "nothing"))
    mirror(released, open_store(released), old)
    widen(released)
    copied(released, place)
    before = {name: open_store(released, place).read(name) for name in files(open_store(released, place))}
    with pytest.raises(Conflict, match="newer than version"):
        mirror(released, old, open_store(released, place))
    assert {name: open_store(released, place).read(name) for name in before} == before


@pytest.mark.parametrize("which", [".fleet-north.json", ".releases.json", ".rollout.json", ".artefact", "timestamp.json"])
def test_nothing_is_copied_that_does_not_verify(which: str, released: Workspace, tmp_path: Path) -> None:
    source = repository_of(released)
    file = max((f for f in source.rglob(f"*{which}")), key=lambda f: f.stat().st_mtime)
    file.write_bytes(file.read_bytes().replace(b'"expires":"2', b'"expires":"3', 1) if which.endswith("json") else b"x")
    with pytest.raises(VerificationFailed, match="devices would refuse"):
        copied(released, str(tmp_path / "edge"))
    assert not (tmp_path / "edge" / "metadata" / "timestamp.json").exists()


def mirrored(workspace: Workspace, *places: str) -> Workspace:
    with (workspace.root / "muster.yaml").open("a") as file:
        file.write(f"registry: {{mirrors: {json.dumps(places)}}}\n")
    return open_workspace(workspace.root)


def test_a_halt_reaches_every_mirror_that_is_configured(released: Workspace, muster: Run, tmp_path: Path) -> None:
    started = rollout.show_release(released, "north-r1")
    workspace = mirrored(released, "edge", str(tmp_path / "other"))
    code, said, _ = muster("release", "halt", "north-r1", workspace.root, "--person", "ana", "--reason", "smoke")
    assert code == 0, said
    for place in (workspace.root / "edge", tmp_path / "other"):
        assert told(workspace, str(place), tmp_path / "device", started).state == "halted"


def test_a_mirror_that_is_down_holds_up_nothing(released: Workspace, muster: Run, tmp_path: Path) -> None:
    (tmp_path / "down").write_text("no folder")
    started = rollout.show_release(released, "north-r1")
    workspace = mirrored(released, str(tmp_path / "down" / "below"), "edge")
    code, told_so, said = muster("release", "halt", "north-r1", workspace.root, "--person", "ana", "--reason", "smoke", "--json")
    assert code == 6
    assert "halted" in told_so, "what was done is said first"
    assert f"not mirrored to {tmp_path / 'down' / 'below'}" in said
    for place in (repository_of(workspace), workspace.root / "edge"):
        assert told(workspace, str(place), tmp_path / "device", started).state == "halted"


def test_what_is_signed_anew_reaches_the_mirrors(released: Workspace) -> None:
    workspace = mirrored(released, "edge")
    repository.mirror_all(workspace)
    published, edge = open_store(workspace), Folder(workspace.root / "edge")
    before = edge.read("metadata/timestamp.json")
    refresh.fn(str(workspace.root))
    assert edge.read("metadata/timestamp.json") == before == published.read("metadata/timestamp.json")
    repository.refresh_expiring(workspace, now=utc_now() + timedelta(hours=13))
    refresh.fn(str(workspace.root))
    assert edge.read("metadata/timestamp.json") == published.read("metadata/timestamp.json") != before


def test_what_was_changed_in_a_mirror_is_found_there(released: Workspace, muster: Run, tmp_path: Path) -> None:
    place = tmp_path / "edge"
    register(released, "a")
    copied(released, str(place))
    assert muster("release", "verify", released.root, "--at", place)[0] == 0
    file = next((place / "targets" / "artifacts").iterdir())
    file.write_bytes(b"x" + file.read_bytes()[1:])
    code, _, said = muster("release", "verify", released.root, "--at", place)
    assert code == 8
    assert file.name in said
    assert muster("release", "verify", released.root)[0] == 0


@pytest.mark.parametrize("place", ["", "http://edge/repository", "ftp://edge"])
def test_what_is_no_place_is_refused(place: str, released: Workspace, muster: Run) -> None:
    code, _, said = muster("release", "publish", released.root, "--to", place)
    assert code == 2
    assert "is no place for a repository" in said


def test_the_workspaces_own_files_are_no_mirror(released: Workspace, muster: Run) -> None:
    for place in (repository_of(released), repository_of(released) / "targets", released.state):
        assert muster("release", "publish", released.root, "--to", place)[0] == 2


def test_a_repository_that_cannot_be_written_does_not_hide_what_was_decided(released: Workspace, muster: Run) -> None:
    store = repository_of(released)
    store.rename(store.with_name("aside"))
    store.write_text("no folder")
    code, _, said = muster("release", "halt", "north-r1", released.root, "--person", "ana", "--reason", "smoke")
    assert code == 6
    assert "'north-r1' is halted at revision" in said and "not published yet" in said
    store.unlink()
    store.with_name("aside").rename(store)
    assert muster("release", "publish", released.root)[0] == 0


def test_before_anything_is_published_there_is_nothing_to_mirror(drafted: Workspace, muster: Run) -> None:
    workspace = mirrored(drafted, "edge")
    for person in ("ana", "ben"):
        code, _, said = muster("release", "approve", "north-r1", workspace.root, "--person", person, "--reason", "fine")
        assert code == 0, said
    assert (workspace.root / "edge" / "metadata" / "timestamp.json").exists()
