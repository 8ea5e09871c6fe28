"""ZIP archives that are the same to the byte for the same files, and their reading without trust."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from components.values.artefact import MAX_MEMBER
from components.workspace.errors import VerificationFailed

MAX_FILES = 256
MAX_TOTAL = 2 * MAX_MEMBER
_TIME = (1980, 1, 1, 0, 0, 0)
_REGULAR, _UNIX = 0o100644, 3


def pack(files: Mapping[str, bytes]) -> bytes:
    """``files``: name with / between folders -> content. Uncompressed, sorted, one fixed time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system, info.external_attr = _UNIX, _REGULAR << 16
            archive.writestr(info, files[name])
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """The files of an archive that `pack` could have made, whatever bytes it is given.

    Raises:
        VerificationFailed: no ZIP; a path that leads out, a link, a name twice, compression, or too much of anything.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = archive.infolist()
            _refuse(listed)
            return {info.filename: archive.read(info) for info in listed}
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise VerificationFailed(
            f"no package: {error}", hint="fetch it again, or make it again with muster artefact package"
        ) from None


def _refuse(listed: list[zipfile.ZipInfo]) -> None:
    if len(listed) > MAX_FILES or sum(info.file_size for info in listed) > MAX_TOTAL:
        raise ValueError("too many files, or too large ones")
    seen: set[str] = set()
    for info in listed:
        parts = info.filename.split("/")
        if "\\" in info.filename or ":" in info.filename or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"the name '{info.filename}' is no file below the archive")
        if info.external_attr >> 16 != _REGULAR:
            raise ValueError(f"'{info.filename}' is no regular file")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > MAX_MEMBER:
            raise ValueError(f"'{info.filename}' is compressed or too large")
        if info.filename.lower() in seen:
            raise ValueError(f"'{info.filename}' is there twice")
        seen.add(info.filename.lower())
