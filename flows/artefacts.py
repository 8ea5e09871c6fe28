"""What was compiled and proven of a workspace's model, for a reader."""

from __future__ import annotations

from pathlib import Path

from components.quantization.reporting.facts import Compiled, compiled_in
from components.workspace import Workspace
from components.workspace.errors import NotFound
from components.workspace.files import write_bytes

PAGE = "artefacts.html"


def compiled(workspace: Workspace, profile: str | None = None) -> list[Compiled]:
    """What the steps quantize and prove have put out, of all profiles or of one.

    Raises:
        NotFound: no such profile, or nothing was compiled for it yet.
    """
    names = {p.name for p in workspace.profiles} if profile is None else {workspace.profile(profile).name}
    found = [
        one
        for one in compiled_in(workspace.out / "quantize", workspace.out / "prove", workspace.state / "paces")
        if one.profile in names
    ]
    if not found:
        raise NotFound(f"no artefact in {workspace.out / 'quantize'}", hint=f"muster step quantize {workspace.root} makes them")
    return found


def write_page(workspace: Workspace) -> Path:
    """Write `out/artefacts/artefacts.html`."""
    from components.quantization.reporting.page import artefacts_page

    file = workspace.out / "artefacts" / PAGE
    write_bytes(file, artefacts_page(workspace.settings.name, compiled(workspace)).encode())
    return file
