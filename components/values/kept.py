"""A folder whose description names its files and their digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.workspace.errors import NotFound, VerificationFailed
from components.workspace.files import new_folder, sha256_bytes, write_bytes, write_json


def about_files(files: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """Name -> digest and size, as a description holds them below 'files'."""
    return {name: {"sha256": sha256_bytes(data), "bytes": len(data)} for name, data in sorted(files.items())}


def keep(folder: Path, description: str, value: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write all of it, or nothing."""
    with new_folder(folder) as beside:
        for name, data in files.items():
            write_bytes(beside / name, data)
        write_json(beside / description, value)


def kind_in(place: Path, description: str) -> str:
    """What the description in the folder ``place``, or at it, says it is of; '' where there is none that can be read."""
    file = place if place.name == description else place / description
    try:
        return str(json.loads(file.read_bytes())["kind"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def read_kept(place: Path, description: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Description and files. ``place``: the folder, or the description in it.

    Raises:
        NotFound: there is no description.
        VerificationFailed: it cannot be read, or a file is not the one that was written.
    """
    folder = place.parent if place.name == description else place
    if not (folder / description).is_file():
        raise NotFound(f"no {description} in {folder}", hint="name the folder that muster wrote with --out")
    try:
        value = json.loads((folder / description).read_bytes())
        return value, {name: _checked(folder, name, about["sha256"]) for name, about in value["files"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, FileNotFoundError) as error:
        raise VerificationFailed(
            f"{folder / description} is damaged: {type(error).__name__}: {error}", hint="make it again"
        ) from None


def _checked(folder: Path, name: str, digest: str) -> bytes:
    if Path(name).name != name:
        raise VerificationFailed(f"{folder}: file '{name}' has a path", hint="make it again")
    data = (folder / name).read_bytes()
    if sha256_bytes(data) != digest:
        raise VerificationFailed(f"{folder / name} was changed since it was made", hint="make it again")
    return data
