"""A user's folder: configuration, errors that name file, line and key, digests, atomic files, the step store."""

from components.workspace.workspace import Workspace, open_workspace

__all__ = ["Workspace", "open_workspace"]
