"""Profiles of common parts that ship with Muster (`library/`), to start one's own from."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import yaml

from components.workspace.errors import Conflict, NotFound
from components.workspace.files import write_text
from components.workspace.profiles import Profile
from components.workspace.workspace import parse_yaml

_LIBRARY = files("components.workspace") / "library"


def library() -> tuple[Profile, ...]:
    """Every profile of the library, by name."""
    names = sorted(entry.name.removesuffix(".yaml") for entry in _LIBRARY.iterdir() if entry.name.endswith(".yaml"))
    return tuple(library_profile(name) for name in names)


def library_profile(name: str) -> Profile:
    """Raises:
    NotFound: the library has no such profile.
    """
    return parse_yaml(_text(name), Profile, f"library/{name}.yaml")


def new_profile(root: Path, name: str, source: str) -> Path:
    """Write the library's ``source`` as `profiles/<name>.yaml` of the workspace in ``root``; comments stay.

    Raises:
        NotFound: the library has no ``source``.
        InputError: ``name`` is none.
        Conflict: the file is there.
    """
    file = root / "profiles" / f"{name}.yaml"
    named = yaml.safe_dump({"name": name}).strip()  # quoted where YAML would read a number or a truth value
    text = re.sub(r"^name: .*$", lambda _: named, _text(source), count=1, flags=re.MULTILINE)
    parse_yaml(text, Profile, f"profiles/{name}.yaml", "letters a to z, digits, - and _ make a name")
    if file.exists():
        raise Conflict(f"{file} is there already", hint="choose another name, or delete the file first")
    write_text(file, text)
    return file


def _text(name: str) -> str:
    file = _LIBRARY / f"{name}.yaml"
    if Path(name).name != name or not file.is_file():
        raise NotFound(f"profile '{name}' is not in the library", hint="muster profile list --library shows what is")
    return file.read_text(encoding="utf-8")
