"""A folder of files with a description that holds the digest of each."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.workspace.errors import NotFound, VerificationFailed
from components.workspace.files import new_folder, sha256_bytes, write_bytes, write_json


def digests(files: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """File name -> its SHA-256 and length, as `load_sealed` wants them under 'files' of a description."""
    return {name: {"sha256": sha256_bytes(data), "bytes": len(data)} for name, data in sorted(files.items())}


def save_sealed(folder: Path, description: str, about: dict[str, Any], files: dict[str, bytes]) -> None:
    """``files`` may hold more than ``about`` gives the digests of."""
    with new_folder(folder) as beside:
        for name, data in files.items():
            write_bytes(beside / name, data)
        write_json(beside / description, about)


def kind_in(place: Path, description: str) -> str:
    """What the description in the folder ``place``, or at it, says it is of; '' where there is none that can be read."""
    try:
        return str(json.loads((_folder(place, description) / description).read_bytes())["kind"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def load_sealed(place: Path, description: str, kind: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The description and its files. ``place``: the folder, or the description in it.

    Raises:
        NotFound: no description there.
        VerificationFailed: a file is not the one that was described.
    """
    folder = _folder(place, description)
    if not (folder / description).is_file():
        raise NotFound(f"no {description} in {folder}", hint="name the folder that --out was given")
    try:
        about = json.loads((folder / description).read_bytes())
        if about["kind"] != kind:
            raise VerificationFailed(f"{folder / description} is of kind '{about['kind']}', not '{kind}'", hint="make it again")
        return about, {name: _checked(folder, name, told["sha256"]) for name, told in about["files"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise broken(folder, error) from None


def broken(folder: Path, error: Exception) -> VerificationFailed:
    return VerificationFailed(f"{folder} is not whole: {type(error).__name__}: {error}", hint="make it again")


def packed(array: NDArray[Any]) -> bytes:
    """A .npy of equal bytes for equal arrays."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def unpacked(data: bytes) -> NDArray[np.float32]:
    """Raises:
    ValueError: no array of floats.
    """
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype != np.float32:
        raise ValueError(f"an array of {array.dtype}, not of float32")
    return np.asarray(array)


def _folder(place: Path, description: str) -> Path:
    return place.parent if place.name == description else place


def _checked(folder: Path, name: str, digest: str) -> bytes:
    if Path(name).name != name:
        raise VerificationFailed(f"{folder}: file '{name}' has a path", hint="make it again")
    data = (folder / name).read_bytes()
    if sha256_bytes(data) != digest:
        raise VerificationFailed(f"{folder / name} was changed", hint="make it again")
    return data
