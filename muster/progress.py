"""Render the job's progress records: one line a step, and inside a long step a bar, on a terminal only."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_BAR = 24


class _Renderer(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._terminal = sys.stderr.isatty()
        self._step = ""

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "finished"):
            self._line(f"{record.finished:<26} {record.seconds:6.1f} s  {record.note}")  # type: ignore[attr-defined]
        elif hasattr(record, "said"):
            self._line(f"  {record.said}")
        elif self._terminal and hasattr(record, "started"):
            self._step = str(record.started)
            self._transient(f"{self._step} ...")
        elif self._terminal and hasattr(record, "phase"):
            done, total = int(record.done), int(record.total)  # type: ignore[attr-defined]
            filled = _BAR * done // max(total, 1)
            self._transient(f"{self._step:<26} {record.phase} [{'#' * filled}{'.' * (_BAR - filled)}] {done}/{total}")
        elif hasattr(record, "phase") and record.done == record.total:  # type: ignore[attr-defined]
            self._line(f"  {record.phase} done")

    def _line(self, text: str) -> None:
        sys.stderr.write(("\r\x1b[K" if self._terminal else "") + text.rstrip() + "\n")
        sys.stderr.flush()

    def _transient(self, text: str) -> None:
        sys.stderr.write("\r\x1b[K" + text)
        sys.stderr.flush()


@contextmanager
def shown(quiet: bool) -> Iterator[None]:
    """Show the progress of the job that runs in this block on standard error."""
    log = logging.getLogger("muster.job")
    handler = logging.NullHandler() if quiet else _Renderer()
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
