"""`muster run`: decide by digests what has to run, run it, refresh signatures, and leave a record."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from components.workspace import Workspace
from components.workspace.errors import Conflict
from components.workspace.files import write_json
from flows import progress, release
from flows.steps import StepResult, settle


@dataclass(frozen=True)
class Run:
    """``skipped``: steps that had nothing to do; ``ran``: the others; ``refreshed``: metadata signed again near expiry."""

    started: str
    seconds: float
    skipped: tuple[str, ...]
    ran: tuple[str, ...]
    refreshed: tuple[str, ...]


def run(workspace: Workspace) -> Run:
    """Bring the workspace's releases up to date with its data, code and configuration.

    Raises:
        Conflict: another run holds the workspace.
        MusterError: whatever the step that failed says; what was finished before it is kept.
    """
    began, started = time.monotonic(), datetime.now(UTC)
    with _only_run(workspace):
        kept, missing = settle(workspace)
        done = None if missing else release.already_released(workspace)
        _say_what_is_kept(kept, done)
        if done is None:
            missing += ["register", "draft"]
            _run_flow(workspace)
        refreshed = _refresh(workspace)
        names = tuple(dict.fromkeys(result.step for result in kept if result.step not in missing))
        if done is not None:
            names += ("register", "draft")
        record = Run(started.isoformat(), time.monotonic() - began, names, tuple(missing), refreshed)
        write_json(workspace.state / "runs" / f"{started:%Y%m%dT%H%M%S.%fZ}.json", asdict(record))
    return record


def _run_flow(workspace: Workspace) -> None:
    """Start Prefect in this process, with its database in the workspace unless the user has a server."""
    home = workspace.state / "prefect"
    os.environ.setdefault("PREFECT_HOME", str(home))
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    with progress.timed("prefect") as done:
        from flows.train_and_release import train_and_release

        done.note = os.environ.get("PREFECT_API_URL", "in this process")
    for chatty in ("", "great_expectations"):
        logging.getLogger(chatty).setLevel(logging.ERROR)  # the job has its own lines; libraries' warnings bury them
    train_and_release(str(workspace.root))


def _say_what_is_kept(kept: list[StepResult], done: release.Released | None) -> None:
    for result in kept:
        name = f"{result.step} {result.profile}".strip()
        progress.finished(name, result.seconds, "skipped: data, configuration and code are those of an earlier run")
    if done is not None:
        progress.finished("register", 0.0, f"skipped: {done.model} version {done.version} holds these artefacts")
        progress.finished("draft", 0.0, f"skipped: {', '.join(done.releases)} offer it")


def _refresh(workspace: Workspace) -> tuple[str, ...]:
    from registry import repository

    return repository.refresh_expiring(workspace)


@contextmanager
def _only_run(workspace: Workspace) -> Iterator[None]:
    workspace.state.mkdir(parents=True, exist_ok=True)
    with (workspace.state / "run.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(f"another run works on {workspace.root}", hint="wait for it, or stop it") from None
        yield
