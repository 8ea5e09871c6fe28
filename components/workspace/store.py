"""The step store: results kept by the digest of everything that made them.

A result is a folder. Its key digests the step's inputs, configuration and source code, so equal keys mean
equal bytes and a step whose key is here need not run. The store stands outside the steps' output
folders, because DVC deletes those before it runs a stage; `materialise` puts a kept result back.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.workspace.files import new_folder, sha256_file, sha256_json, write_json

_LISTING = "listing.json"


@dataclass(frozen=True)
class Stored:
    """One kept result: ``digest`` covers the names and bytes of all its files."""

    key: str
    folder: Path
    digest: str
    reused: bool


class StepStore:
    def __init__(self, root: Path) -> None:
        self._root = root

    def digest(self, step: str, key: str) -> str | None:
        """Digest of the kept result, or None when there is none. Reads one small file."""
        listing = self._entry(step, key) / _LISTING
        try:
            return str(json.loads(listing.read_text())["digest"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not there, or damaged: the step makes it again

    def run(self, step: str, key: str, body: Callable[[Path], None]) -> Stored:
        """Return the result of ``key``, calling ``body(folder)`` only when it is not here.

        Two processes with the same key wait for each other; a body that raises or is killed leaves nothing.
        """
        with self._lock(step, key):
            entry = self._entry(step, key)
            kept = self.digest(step, key)
            if kept is None:
                self._sweep(entry)
                with new_folder(entry) as folder:
                    data = folder / "data"
                    data.mkdir()
                    body(data)
                    files = listing_of(data)
                    kept = sha256_json(files)
                    write_json(folder / _LISTING, {"digest": kept, "files": files})
                return Stored(key, entry / "data", kept, reused=False)
            return Stored(key, entry / "data", kept, reused=True)

    def materialise(self, step: str, key: str, target: Path) -> None:
        """Copy the kept result to ``target`` unless it is already there, whole and unchanged."""
        entry = self._entry(step, key)
        wanted = json.loads((entry / _LISTING).read_text())["files"]
        if target.is_dir() and listing_of(target) == wanted:
            return
        with new_folder(target) as folder:
            shutil.copytree(entry / "data", folder, dirs_exist_ok=True)

    def kept(self, step: str) -> list[Stored]:
        """Every result of ``step`` that is here, in the order in which they were made."""
        listings = sorted((self._root / step).glob(f"[!.]*/{_LISTING}"), key=lambda file: (file.stat().st_mtime_ns, str(file)))
        found = [(file.parent, self.digest(step, file.parent.name)) for file in listings]
        return [Stored(entry.name, entry / "data", digest, reused=True) for entry, digest in found if digest is not None]

    def _entry(self, step: str, key: str) -> Path:
        return self._root / step / key

    def _sweep(self, entry: Path) -> None:
        """Drop what a killed run of the same key left beside the entry."""
        for left in entry.parent.glob(f".{entry.name}.*"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def _lock(self, step: str, key: str) -> Iterator[None]:
        folder = self._root / step
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{key}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def listing_of(folder: Path) -> dict[str, str]:
    """Relative name -> sha256 of every file below ``folder``; a file is read again only when its status changed."""
    return {
        Path(base, name).relative_to(folder).as_posix(): _digest_now(Path(base, name))
        for base, _, names in os.walk(folder)
        for name in names
    }


def digest_of(folder: Path) -> str | None:
    """What `StepStore` calls the digest of a result with these files; None when the folder is not there."""
    return sha256_json(listing_of(folder)) if folder.is_dir() else None


def _digest_now(file: Path) -> str:
    status = file.stat()
    return _digest_as_of(file, status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=100_000)
def _digest_as_of(file: Path, _inode: int, _size: int, _changed: int) -> str:
    return sha256_file(file)
