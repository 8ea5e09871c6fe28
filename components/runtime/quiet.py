"""Runtimes that write notes of their own to standard error, whatever they are told."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_NOTE = b"INFO:"


@contextmanager
def without_notes() -> Iterator[None]:
    """Lines that C code of this process begins with "INFO:" are dropped; all others come out at the end, errors among them.

    LiteRT says so of every interpreter that it speeds up, past its own log level and that of TensorFlow.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as said:
            os.dup2(said.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(kept, 2)
                said.seek(0)
                os.write(2, b"".join(line for line in said if not line.startswith(_NOTE)))
    finally:
        os.close(kept)
