"""A user's folder: configuration, errors that name file, line and key, digests, atomic files, the step store.

The configuration's models are imported when a workspace is opened: `muster --help` needs none of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.workspace.workspace import Workspace

__all__ = ["Workspace", "open_workspace"]


def open_workspace(root: Path) -> Workspace:
    """Read and validate `muster.yaml` and the profiles of the workspace folder ``root``.

    Raises:
        NotFound: there is no `muster.yaml`, or a profile is missing.
        InputError: a file is wrong; the message has file, line and key.
    """
    from components.workspace.workspace import open_workspace as opened

    return opened(root)


def __getattr__(name: str) -> Any:
    """PEP 562: the class itself, for those who need more than its name."""
    if name == "Workspace":
        from components.workspace.workspace import Workspace

        return Workspace
    raise AttributeError(name)
