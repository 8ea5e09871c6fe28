"""A decision of a person or a gate reaches devices whole or not at all, whoever dies or meets whom while it is published."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from components.workspace import Workspace, open_workspace
from components.workspace.errors import MusterError
from registry import repository, rollout
from registry.contract.manifest import Manifest
from registry.contract.times import utc_now
from registry.device import check
from registry.repository import publish
from registry.repository.store import Overtaken, Store, open_store
from registry.rollout import Order, Release
from registry.rollout.publication import _publish, reconcile
from tests.registry.cli import Run
from tests.registry.faults import Dying, Killed, to_bucket
from tests.registry.many import many_fleets
from tests.registry.workspaces import canary, given_of, image_root, release, repository_of, two_fleets

ONE = ("gateway-v2",)


def halt(workspace: Workspace, release_id: str = "north-r1") -> Release:
    return rollout.halt(workspace, release_id, Order("ana", "smoke", ONE))


def roll_back(workspace: Workspace, release_id: str = "north-r1") -> Release:
    return rollout.rollback(workspace, release_id, Order("ana", "smoke", ONE))


def widen(workspace: Workspace, release_id: str = "north-r1") -> Release:
    return rollout.promote(workspace, release_id, Order("ana", "fine", ONE))


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, stocked: Workspace) -> tuple[Workspace, str]:
    """A workspace, and where devices read what it publishes."""
    if request.param == "folder":
        return stocked, str(repository_of(stocked))
    address = request.getfixturevalue("bucket")
    return to_bucket(stocked), address


def told(workspace: Workspace, address: str, state: Path, started: Release) -> Manifest:
    """What a device with a memory of all that it saw before is told now."""
    decision = check(address, image_root(workspace), canary(workspace, started), state)
    assert decision.manifest is not None
    return decision.manifest


@pytest.mark.slow
@pytest.mark.parametrize(("order", "state"), [(halt, "halted"), (roll_back, "rollback"), (widen, "running")])
def test_a_publisher_killed_at_any_write_of_an_order_shows_the_old_or_the_new(
    order: Callable[[Workspace, str], Release], state: str, place: tuple[Workspace, str], tmp_path: Path
) -> None:
    """One device sees it all, and refuses nothing; the next publisher goes on from there."""
    workspace, address = place
    release(workspace)
    started = release(workspace, 2, "b")
    before = told(workspace, address, tmp_path / "device", started)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry.rollout.steering.publish_decided", lambda *_a, **_k: ())
        order(workspace, started.id)
    offer = rollout.show_release(workspace, started.id).offer("gateway-v2")
    kills = 0
    while True:
        try:
            reconcile(workspace, fleet="north", store=Dying(open_store(workspace), kills))
        except Killed:
            seen = told(workspace, address, tmp_path / "device", started)
            assert seen.sequence_number == before.sequence_number, "the timestamp is the last write"
            kills += 1
        else:
            break
    # What a killed publisher wrote is taken up, so that each round gets one write further.
    assert kills >= 1
    seen = told(workspace, address, tmp_path / "device", started)
    assert (seen.state, seen.sequence_number) == (state, offer.sequence)
    assert reconcile(workspace) == ()
    assert rollout.verify(workspace).published


class Suicidal(Dying):
    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def _halt_and_die(root: str, after: int) -> None:
    from registry.rollout import publication

    publication.open_store = lambda w, _place=None: Suicidal(open_store(w), after)
    halt(open_workspace(Path(root)))


@pytest.mark.slow
def test_kill_9_at_any_write_of_a_halt(released: Workspace, tmp_path: Path) -> None:
    """A real process, really killed: the halt is in the log at once, and published by whoever comes next."""
    started = rollout.show_release(released, "north-r1")
    copy = tmp_path / "copy"
    for after in range(5):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(released.root, copy)
        workspace = open_workspace(copy)
        process = multiprocessing.get_context("spawn").Process(target=_halt_and_die, args=(str(copy), after))
        process.start()
        process.join(timeout=120)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        assert rollout.show_release(workspace, "north-r1").offer("gateway-v2").state == "halted"
        address = str(repository_of(workspace))
        assert told(workspace, address, tmp_path / f"device-{after}", started).state == "running"
        reconcile(workspace)
        assert told(workspace, address, tmp_path / f"device-{after}", started).state == "halted"
    assert after == 4, "the manifest, the fleet, snapshot, timestamp"


def _publish_order(root: str, number: int, barrier: Any, results: Any) -> None:
    workspace = open_workspace(Path(root))
    fleet = ("north", "south")[number % 2]
    barrier.wait()
    try:
        if number < 2:
            halt(workspace, f"{fleet}-r1")
        else:
            reconcile(workspace, fleet=fleet if number < 5 else None)
        results.put("done")
    except MusterError as error:
        results.put(f"{type(error).__name__}: {error}")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["folder", "bucket"])
def test_eight_publishers_at_once_lose_no_order(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Two of them halt; all of them publish. Nobody fails, and a device that looks all the while is never refused."""
    workspace = two_fleets(tmp_path / "w")
    address = str(repository_of(workspace))
    if backend == "bucket":
        address = request.getfixturevalue("bucket")
        workspace = to_bucket(workspace)
    from tests.registry.workspaces import artefacts, proofs, version

    for drafted in rollout.draft(workspace, version(), artefacts(), proofs(), "pipeline"):
        for person in ("ana", "ben"):
            rollout.approve(workspace, drafted.id, person, "fine")
    started = rollout.show_release(workspace, "north-r1")
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(8), context.Queue()
    processes = [
        context.Process(target=_publish_order, args=(str(workspace.root), number, barrier, results)) for number in range(8)
    ]
    for process in processes:
        process.start()
    states = []
    while any(p.is_alive() for p in processes):
        states.append(told(workspace, address, tmp_path / "device", started).state)
    assert [results.get(timeout=60) for _ in processes] == ["done"] * 8
    assert states == sorted(states, reverse=True), "running, then halted, and never back"
    assert told(workspace, address, tmp_path / "device", started).state == "halted"
    assert rollout.verify(workspace).published == 8
    assert reconcile(workspace) == ()


def test_who_read_the_log_before_another_published_does_not_publish_it(
    place: tuple[Workspace, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow one would show devices a lower sequence number than they have seen. What it left is never taken up, either."""
    workspace, address = place
    started = release(workspace)
    slow: list[Callable[[], object]] = []

    def later(*args: Any, **more: Any) -> tuple[str, ...]:
        slow.append(lambda: publish(*args, **more))
        return ()

    with monkeypatch.context() as patch:
        patch.setattr("registry.rollout.publication.publish", later)
        widen(workspace)
    halt(workspace)
    with pytest.raises(Overtaken):
        slow[0]()
    assert told(workspace, address, tmp_path / "device", started).state == "halted"
    assert reconcile(workspace) == ()
    assert "fleet-north" in repository.refresh_expiring(workspace, now=utc_now() + timedelta(days=5))
    assert told(workspace, address, tmp_path / "device", started).state == "halted"


def test_who_is_overtaken_reads_again_and_publishes(released: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def overtaken(*args: Any, **more: Any) -> tuple[str, ...]:
        tries.append(args)
        if len(tries) < 3:
            raise Overtaken("another publisher wrote metadata/timestamp.json first")
        return _publish(*args, **more)

    monkeypatch.setattr("registry.rollout.publication._publish", overtaken)
    halt(released)
    assert len(tries) == 3
    assert rollout.verify(released).published


@pytest.mark.parametrize(("hours", "goes_on"), [(23, True), (25, False)])
def test_devices_ramp_on_while_the_server_is_down_until_the_metadata_expires(
    stocked: Workspace, tmp_path: Path, hours: int, goes_on: bool
) -> None:
    """Static files are enough for the stage that is open; nobody is let in any more when nothing fresh was signed."""
    started = release(stocked, now=utc_now() - timedelta(hours=hours))
    known, root = canary(stocked, started), image_root(stocked)
    files = shutil.copytree(repository_of(stocked), tmp_path / "static")
    shutil.rmtree(stocked.root)
    if goes_on:
        assert check(str(files), root, known, tmp_path / "device").install
    else:
        with pytest.raises(MusterError, match="metadata_expired"):
            check(str(files), root, known, tmp_path / "device")


@pytest.mark.slow
def test_one_change_among_many_fleets_touches_its_own_fleet(tmp_path: Path) -> None:
    """However many others there are: their logs are not read, their metadata neither read nor signed."""
    workspace = many_fleets(tmp_path / "w", 12, 3)
    assert sum(r.startswith("fleet-") for r in reconcile(workspace)) == 12
    store = Counting(open_store(workspace))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry.rollout.steering.publish_decided", lambda *_a, **_k: ())
        rollout.halt(workspace, "f007-r1", Order("ana", "smoke", ("gateway-v2",)))
    assert reconcile(workspace, fleet="f007", store=store) == ("fleet-f007", "snapshot", "timestamp")
    assert not [n for n in store.read_names if "fleet-f0" in n and "f007" not in n]
    assert len(store.read_names) <= 10
    assert reconcile(workspace) == ()
    assert rollout.verify(workspace).published == 12 * 3 + 1


class Counting(Dying):
    """Notes what is read."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, 10**9)
        self.read_names: list[str] = []

    def read(self, name: str) -> bytes | None:
        self.read_names.append(name)
        return super().read(name)


def _everything(workspace: Workspace) -> dict[str, bytes]:
    files = {f.relative_to(workspace.root).as_posix(): f for f in workspace.root.rglob("*") if f.is_file()}
    return {name: file.read_bytes() for name, file in files.items() if not name.endswith((".lock", "-shm", "-wal"))}


def test_a_dry_run_names_what_would_be_written_and_writes_nothing(released: Workspace, muster: Run) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry.rollout.steering.publish_decided", lambda *_a, **_k: ())
        halt(released)
    before, versions = _everything(released), given_of(released)
    for arguments in (("publish", released.root), ("start", "north-r1", released.root)):
        code, output, _ = muster("release", *arguments, "--dry-run", "--json")
        data = json.loads(output)["data"]
        assert code == 0
        assert data["roles"] == ["fleet-north", "snapshot", "timestamp"]
        assert [name.rpartition("/")[2] for name in data["files"][:3]] == [
            "2.fleet-north.json",
            "2.snapshot.json",
            "timestamp.json",
        ]
        assert data["files"][3].startswith("targets/fleets/north/gateway-v2/")
    assert (_everything(released), given_of(released)) == (before, versions)
    muster("release", "publish", released.root)
    assert {f for f in _everything(released) if f not in before} == {f".muster/repository/{f}" for f in data["files"]} - set(
        before
    )
    assert json.loads(muster("release", "publish", released.root, "--dry-run", "--json")[1])["data"] == {"roles": [], "files": []}


def test_a_release_that_waits_is_not_rehearsed(drafted: Workspace, muster: Run) -> None:
    assert muster("release", "start", "north-r1", drafted.root, "--dry-run")[0] == 7
