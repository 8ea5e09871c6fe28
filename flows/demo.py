"""Approve what the last run drafted, as two demo people whose keys the demo makes. For demonstrations only."""

from __future__ import annotations

from components.workspace import Workspace
from components.workspace.errors import Conflict, NotFound
from flows import progress, release

PEOPLE = ("demo-ana", "demo-ben")
REASON = "demonstration: approved without looking"


def approve_as_two_people(workspace: Workspace) -> None:
    """Make keys marked as demo keys, and approve every release of the last run that waits for approval.

    A real workspace never does this: two people hold their own keys and run `muster release approve` themselves.

    Raises:
        Conflict: somebody's own keys are trusted here already.
    """
    from registry import keys, rollout

    _refuse_beside_real_people(workspace)
    with progress.timed("keys") as done:
        keys.init_keys(workspace, PEOPLE, demo=True)
        done.note = f"DEMO keys of two demo people: {' and '.join(PEOPLE)}"
    note = release.already_released(workspace)
    waiting = [
        r.id
        for r in rollout.list_releases(workspace)
        if note is not None and r.id in note.releases and r.state == rollout.State.WAITING_FOR_APPROVAL
    ]
    for release_id in waiting:
        with progress.timed("approve") as done:
            for person in PEOPLE:
                rollout.approve(workspace, release_id, person, REASON)
            done.note = f"{release_id}, as {' and '.join(PEOPLE)}"


def _refuse_beside_real_people(workspace: Workspace) -> None:
    from registry import keys

    try:
        people = [holder.name for holder in keys.show_keys(workspace) if holder.role == "releases" and not holder.demo]
    except NotFound:
        return
    if people:
        raise Conflict(
            f"the releases of {workspace.root} are signed by {' and '.join(people)}: demo people must not join them",
            hint="leave --demo out, and let them run muster release approve",
        )
