"""What every run of the main job does around its steps, by hand or on a schedule: one at a time, and a record."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from components.workspace import Workspace
from components.workspace.errors import Conflict, NotFound
from components.workspace.files import write_json

RELEASE = ("register", "draft")
"""What follows the steps of the step table."""


@dataclass(frozen=True)
class Run:
    """``skipped``: steps that had nothing to do; ``ran``: the others; ``refreshed``: metadata signed again near expiry."""

    started: str
    seconds: float
    skipped: tuple[str, ...]
    ran: tuple[str, ...]
    refreshed: tuple[str, ...]


@contextmanager
def one_at_a_time(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace for one run.

    Raises:
        Conflict: another run holds it.
    """
    workspace.state.mkdir(parents=True, exist_ok=True)
    with (workspace.state / "run.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(f"another run works on {workspace.root}", hint="wait for it, or stop it") from None
        yield


class Stopwatch:
    """Started with the run, so that `finish` can say how long it took."""

    def __init__(self) -> None:
        self._began, self._started = time.monotonic(), datetime.now(UTC)

    def finish(self, workspace: Workspace, skipped: tuple[str, ...], ran: tuple[str, ...]) -> Run:
        """Bring the repository in line with the log, sign anew what nears its expiry, and keep a record in `.muster/runs`."""
        refreshed = _publish_again(workspace)
        record = Run(self._started.isoformat(), time.monotonic() - self._began, skipped, ran, refreshed)
        write_json(workspace.state / "runs" / f"{self._started:%Y%m%dT%H%M%S.%fZ}.json", asdict(record))
        return record


def _publish_again(workspace: Workspace) -> tuple[str, ...]:
    """What had to be signed or put back; nothing where no release has started or where the online keys are elsewhere."""
    from registry import keys, repository, rollout

    if not any(release.started for release in rollout.list_releases(workspace)):
        return ()
    try:
        keys.require_keys(workspace)
    except NotFound:
        return ()
    written = tuple(rollout.reconcile(workspace))
    repository.mirror_all(workspace)
    return written
