"""After a command that changed a release: let the model registry and the mirrors follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.workspace.errors import MusterError
from muster.console import fail_at_the_end, say

if TYPE_CHECKING:
    from components.workspace import Workspace


def follow(workspace: Workspace) -> None:
    """The decision is in the log and published already: whoever does not answer follows at the next tick.

    Devices may read a mirror, so that one which stays behind is an error, told when the command has said what it did.
    """
    from registry import projection, repository

    try:
        projection.follow(workspace)
    except MusterError as error:
        say(f"the model registry's aliases are behind: {error.message}")
    try:
        repository.mirror_all(workspace)
    except MusterError as error:
        fail_at_the_end(error)
