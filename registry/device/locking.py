"""One process a state folder: python-tuf supports no more on one cache, and slots have one writer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from components.workspace.errors import Conflict


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold the folder; the lock dies with its process.

    Raises:
        Conflict: another process holds it.
    """
    state.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(state / ".lock", timeout=0):
            yield
    except Timeout:
        raise Conflict(f"another process uses {state}", hint="wait until it is done") from None
