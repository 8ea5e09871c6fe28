"""`muster run`: decide by digests whether anything has to run at all, and start Prefect only then."""

from __future__ import annotations

import logging
import os

from components.workspace import Workspace
from flows import progress, release
from flows.runs import RELEASE, Run, Stopwatch, one_at_a_time
from flows.steps import settle


def run(workspace: Workspace) -> Run:
    """Bring the workspace's releases up to date with its data, code and configuration.

    Raises:
        Conflict: another run holds the workspace.
        MusterError: whatever the step that failed says; what was finished before it is kept.
    """
    return _nothing_to_do(workspace) or _run_flow(workspace)


def _nothing_to_do(workspace: Workspace) -> Run | None:
    """Refresh and record when every result and the releases are there; None when something must run."""
    watch = Stopwatch()
    with one_at_a_time(workspace):
        kept, missing = settle(workspace)
        done = None if missing else release.already_released(workspace)
        if done is None:
            return None
        for result in kept:
            name = f"{result.step} {result.profile}".strip()
            progress.finished(name, result.seconds, "skipped: data, configuration and code are those of an earlier run")
        progress.finished("register", 0.0, f"skipped: {done.model} version {done.version} holds these artefacts")
        progress.finished("draft", 0.0, f"skipped: {', '.join(done.releases)} offer it")
        return watch.finish(workspace, (*dict.fromkeys(r.step for r in kept), *RELEASE), ())


def _run_flow(workspace: Workspace) -> Run:
    """Start Prefect in this process, with its database in the workspace unless the user has a server."""
    os.environ.setdefault("PREFECT_HOME", str(workspace.state / "prefect"))
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    with progress.timed("prefect") as done:
        from flows.train_and_release import train_and_release

        done.note = os.environ.get("PREFECT_API_URL", "in this process")
    for chatty in ("", "great_expectations"):
        logging.getLogger(chatty).setLevel(logging.ERROR)  # the job has its own lines; libraries' warnings bury them
    record: Run = train_and_release(str(workspace.root))
    return record
