"""Which hardware profiles the trained model of a workspace fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.workspace import Workspace, open_workspace
from components.workspace.errors import NotFound
from components.workspace.profile_library import library
from components.workspace.profiles import Profile
from components.workspace.workspace import CONFIGURATION
from flows import progress

if TYPE_CHECKING:
    from components.quantization.fit import Fit


def workspace_of(path: Path) -> Workspace:
    """The workspace in ``path``, or the one whose trained model (`out/train`) ``path`` is.

    Raises:
        NotFound: neither is there, or nothing has been trained in it.
    """
    root = path if (path / CONFIGURATION).is_file() else path.absolute().parent.parent
    if root != path and not (path / "model.json").is_file():
        raise NotFound(f"no workspace and no trained model at {path}", hint="name a folder with muster.yaml, or its out/train")
    workspace = open_workspace(root)
    if not all((workspace.out / step).is_dir() for step in ("train", "features")):
        raise NotFound(f"no trained model in {workspace.root}", hint=f"muster train {root} makes one")
    return workspace


def candidates(workspace: Workspace, names: Sequence[str], *, from_library: bool) -> list[Profile]:
    """The profiles called ``names``, of the workspace before the library's; without names all of the one or the other.

    Raises:
        NotFound: neither has one of that name.
    """
    shipped = {p.name: p for p in library()}
    known = shipped if from_library else shipped | {p.name: p for p in workspace.profiles}
    if not names:
        return list(shipped.values() if from_library else workspace.profiles)
    if unknown := [name for name in names if name not in known]:
        where = "the library" if from_library else "the workspace and not in the library"
        raise NotFound(f"profile '{unknown[0]}' is not in {where}", hint="muster profile list, with --library too, shows what is")
    return [known[name] for name in names]


def fits(workspace: Workspace, profiles: Sequence[Profile]) -> list[Fit]:
    """One row a profile, in their order."""
    from components.quantization.fit import fit
    from components.values import TrainedModel, Windows

    model, windows = TrainedModel.load(workspace.out / "train"), Windows.load(workspace.out / "features")
    digest, rows = TrainedModel.digest(workspace.out / "train"), []
    for profile in profiles:
        with progress.timed(profile.name) as done:
            rows.append(fit(workspace, profile, model, windows, digest, workspace.state / "compiled"))
            done.note = "fits" if rows[-1].fits else "does not fit"
    return rows
