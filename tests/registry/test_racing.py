"""Several processes steer one release at once: one wins each step, nobody's decision is lost, and the log replays the same."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from components.workspace import Workspace, open_workspace
from components.workspace.errors import MusterError
from registry import rollout
from registry.inventory import import_devices
from registry.rollout import Order, State
from registry.rollout.manifests import manifest_of
from registry.rollout.replaying import replay
from registry.rollout.states import Kind
from tests.registry.workspaces import make_workspace, release, repository_of

ORDERS: dict[str, Callable[..., object]] = {
    "pause": rollout.pause,
    "hold": rollout.hold,
    "halt": rollout.halt,
    "promote": rollout.promote,
}


def _order(root: str, name: str, person: str, revision: int, barrier: object, results: object) -> None:
    workspace = open_workspace(Path(root))
    barrier.wait()  # type: ignore[attr-defined]
    try:
        if name == "tick":
            rollout.tick(workspace)
        else:
            ORDERS[name](workspace, "north-r1", Order(person, "race", revision=revision))
        results.put((name, "won"))  # type: ignore[attr-defined]
    except MusterError as error:
        results.put((name, type(error).__name__))  # type: ignore[attr-defined]


def race(workspace: Workspace, names: list[str], revision: int) -> Counter[str]:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(len(names)), context.Queue()
    processes = [
        context.Process(target=_order, args=(str(workspace.root), name, ("ana", "ben")[i % 2], revision, barrier, results))
        for i, name in enumerate(names)
    ]
    for process in processes:
        process.start()
    ended = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(timeout=60)
    return Counter(outcome for _, outcome in ended)


def holds_together(workspace: Workspace) -> None:
    """The log is whole, replays to what is published, and no number was given twice."""
    log = rollout.history(workspace, "north-r1")
    assert [e.revision for e in log] == list(range(1, len(log) + 1))
    told = [
        f["sequence"] for e in log for v, f in (e.payload.get("variants") or {}).items() if v == "gateway-v2" and "sequence" in f
    ]
    assert told == sorted(set(told))
    rollout.reconcile(workspace)
    assert rollout.verify(workspace).published
    found = replay(log)
    for offer in found.manifests:
        published = sorted((repository_of(workspace) / f"targets/fleets/north/{offer.variant}").iterdir())
        assert manifest_of(found, offer).to_bytes() in [p.read_bytes() for p in published]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_of_those_who_saw_the_same_state_one_decides(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if backend == "postgresql":
        monkeypatch.setenv("MUSTER_DATABASE_URL", request.getfixturevalue("postgresql"))
    workspace = make_workspace(tmp_path / "w")
    import_devices(workspace)
    begun = release(workspace)
    outcomes = race(workspace, ["pause", "hold", "halt", "promote"], begun.revision)
    assert outcomes == {"won": 1, "Conflict": 3}
    assert rollout.show_release(workspace, "north-r1").revision == begun.revision + 1
    holds_together(workspace)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_eight_at_once_lose_nothing(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Ticks beside a person who halts: whoever loses says so, and a halt that won stays."""
    if backend == "postgresql":
        monkeypatch.setenv("MUSTER_DATABASE_URL", request.getfixturevalue("postgresql"))
    workspace = make_workspace(tmp_path / "w")
    import_devices(workspace)
    begun = release(workspace)
    outcomes = race(workspace, [*["tick"] * 6, "halt", "hold"], begun.revision)
    assert set(outcomes) <= {"won", "Conflict"}
    kinds = [e.kind for e in rollout.history(workspace, "north-r1")][begun.revision :]
    assert kinds in ([Kind.HALTED], [Kind.HELD])
    assert rollout.show_release(workspace, "north-r1").state in (State.HALTED, State.HELD)
    holds_together(workspace)
