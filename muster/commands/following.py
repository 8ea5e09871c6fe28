"""After a command that changed a release: let the model registry follow the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.workspace.errors import MusterError
from muster.console import say

if TYPE_CHECKING:
    from components.workspace import Workspace


def follow(workspace: Workspace) -> None:
    """The decision is in the log already: a model registry that does not answer follows at the next tick."""
    from registry import projection

    try:
        projection.follow(workspace)
    except MusterError as error:
        say(f"the model registry's aliases are behind: {error.message}")
