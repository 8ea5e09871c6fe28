"""What a running job tells whoever watches, as records of the logger `muster.job`.

Components stay silent; the flow and the step runner speak. The command line renders the records; on a Prefect
worker they are ordinary log lines.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LOG = logging.getLogger("muster.job")


@dataclass
class Note:
    """What the line about a finished step says beside its time."""

    note: str = ""


@contextmanager
def timed(step: str) -> Iterator[Note]:
    """Announce a step, and when the block ends without an error, its time and note."""
    began = time.monotonic()
    _LOG.info("%s ...", step, extra={"started": step})
    note = Note()
    yield note
    finished(step, time.monotonic() - began, note.note)


def finished(step: str, seconds: float, note: str) -> None:
    """A step is over; ``note`` says what it put out or why it was skipped."""
    _LOG.info("%-24s %6.1f s  %s", step, seconds, note, extra={"finished": step, "seconds": seconds, "note": note})


def say(text: str) -> None:
    """A fact about the running step."""
    _LOG.info("  %s", text, extra={"said": text})


def report(phase: str, done: int, total: int) -> None:
    """Progress inside a step."""
    _LOG.debug("%s %d/%d", phase, done, total, extra={"phase": phase, "done": done, "total": total})
