"""What keeps releases going with nobody there: gates on a schedule, and signatures before they expire.

Only the online keys are needed. Both are safe to run twice, side by side, or late: the log decides who was first.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow

from components.workspace import Workspace, open_workspace
from components.workspace.errors import Conflict, MusterError
from flows import progress


@flow(name="tick", validate_parameters=False)
def tick(workspace: str) -> list[dict[str, Any]]:
    """Evaluate the gates of the releases of the workspace folder ``workspace``, take the steps that are due, publish them."""
    from registry import projection, rollout

    opened = open_workspace(Path(workspace))
    with progress.timed("tick") as done:
        taken = rollout.tick(opened)
        done.note = "; ".join(f"{t.release}: {t.event} ({t.reason})" for t in taken) or "nothing is due"
    try:
        projection.follow(opened)
    except MusterError as error:  # the log is the truth; the next tick tells the model registry
        progress.finished("aliases", 0.0, f"behind: {error.message}")
    _mirror(opened)
    return [asdict(t) for t in taken]


@flow(name="refresh", validate_parameters=False)
def refresh(workspace: str) -> dict[str, list[str]]:
    """Sign anew what nears its expiry; names the roles that only persons can renew. Closes releases that ended long ago."""
    from registry import repository
    from registry.health.pruning import close_ended

    opened = open_workspace(Path(workspace))
    with progress.timed("refresh") as done:
        written = repository.refresh_expiring(opened)
        offline = repository.expiring_offline(opened)
        done.note = f"signed {', '.join(written) or 'nothing'}" + (f"; persons renew {', '.join(offline)}" if offline else "")
    with progress.timed("late reports") as done:
        try:
            closed = close_ended(opened)
            done.note = f"no more of {', '.join(closed)}" if closed else "nothing ended long enough ago"
        except Conflict as error:  # the intake is busy; the next run does it
            closed, done.note = (), error.message
    _mirror(opened)
    return {"written": list(written), "needs_people": list(offline), "closed": list(closed)}


def _mirror(workspace: Workspace) -> None:
    """Last, and a failure of the flow: all else is done, and devices that read the mirror do not know it."""
    from registry import repository

    if workspace.settings.registry.mirrors:
        with progress.timed("mirrors") as done:
            repository.mirror_all(workspace)
            done.note = ", ".join(workspace.settings.registry.mirrors)
