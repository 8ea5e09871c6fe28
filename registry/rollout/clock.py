"""By which time releases are judged: now, or in a rehearsal that was kept, the moment at which it ended."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from components.workspace import Workspace
from components.workspace.files import write_text
from registry.contract.times import parse_stamp, stamp, utc_now


def stop(workspace: Workspace, at: datetime) -> None:
    """Its devices are made up, and none of them will ever say more: what the real time would add is only that they are silent."""
    write_text(_file(workspace), stamp(at) + "\n")


def stopped(workspace: Workspace) -> datetime | None:
    """When the rehearsal ended; None in a workspace whose time goes on."""
    try:
        return parse_stamp(_file(workspace).read_text().strip())
    except FileNotFoundError:
        return None


def now_in(workspace: Workspace) -> datetime:
    return stopped(workspace) or utc_now()


def _file(workspace: Workspace) -> Path:
    return workspace.state / "rehearsed"
