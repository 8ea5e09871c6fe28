"""Workspaces out of templates: the template's files, the shipped profiles, and the data its `source.py` writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from components.workspace import open_workspace
from components.workspace.errors import Conflict, InputError, NotFound
from components.workspace.files import new_folder, sha256_json, sha256_tree, write_json
from components.workspace.modules import load_module

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SHIPPED_PROFILES = EXAMPLES / "pumps" / "profiles"
_SOURCES = ("*.yaml", "*.py", "*.md")
_MARK = Path(".muster") / "init.json"


def templates() -> list[str]:
    """Names of the shipped templates."""
    return sorted(f.parent.name for f in EXAMPLES.glob("*/source.py"))


def init_from_template(template: str, target: Path, data: Path | None = None, scale: int = 1) -> bool:
    """Make a workspace of ``template`` in ``target``, whole or not at all; whether anything was done.

    Where the same was finished before nothing is done. In the template's own folder only the data are written.

    Raises:
        NotFound: no such template, or its data set is not on this machine.
        Conflict: ``target`` holds something else.
    """
    if template not in templates():
        raise NotFound(f"no template '{template}'", hint=f"templates: {', '.join(templates())}")
    origin = EXAMPLES / template
    identity = sha256_json(
        [template, str(data.resolve()) if data else "", scale, sha256_tree(origin, _sources(origin)), _profiles_digest()]
    )
    if target.resolve() == origin:
        _write_data(origin, data, scale)
        return True

    def fill(folder: Path) -> None:
        for file in _sources(origin):
            shutil.copyfile(file, folder / file.name)
        copy_profiles(folder)
        _write_data(folder, data, scale)

    return build_workspace(target, identity, fill)


def build_workspace(target: Path, identity: str, fill: Callable[[Path], None]) -> bool:
    """Let ``fill`` make a workspace beside ``target`` and move it there when it can be opened.

    ``identity`` digests what it is made of; a finished workspace of the same identity is left as it is.
    """
    if target.exists() and not target.is_dir():
        raise Conflict(f"{target} is a file", hint="name a folder")
    if target.is_dir() and any(target.iterdir()):
        mark = target / _MARK
        if mark.is_file() and json.loads(mark.read_text()).get("identity") == identity:
            return False
        raise Conflict(f"{target} is not empty", hint="name a new folder; nothing was changed")
    if target.resolve() == Path.cwd():
        raise InputError("the current folder cannot be replaced while you stand in it", hint="name a new folder")
    with new_folder(target.resolve()) as folder:
        fill(folder)
        open_workspace(folder)
        write_json(folder / _MARK, {"identity": identity})
    return True


def copy_profiles(folder: Path) -> None:
    """Put the shipped hardware profiles into ``folder/profiles``."""
    (folder / "profiles").mkdir()
    for file in sorted(SHIPPED_PROFILES.glob("*.yaml")):
        shutil.copyfile(file, folder / "profiles" / file.name)


def shipped_profiles() -> tuple[str, ...]:
    """Their names, those with a network of their own first."""
    return tuple(sorted((f.stem for f in SHIPPED_PROFILES.glob("*.yaml")), key=lambda n: (n.startswith("mcu"), n)))


def _profiles_digest() -> str:
    return sha256_tree(SHIPPED_PROFILES, list(SHIPPED_PROFILES.glob("*.yaml")))


def _sources(origin: Path) -> list[Path]:
    return sorted(file for pattern in _SOURCES for file in origin.glob(pattern))


def _write_data(folder: Path, data: Path | None, scale: int) -> None:
    seed = open_workspace(folder).settings.seed
    load_module(folder / "source.py").write(folder, data, seed, scale)
