"""A program on a terminal of its own, and what a person sees there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from dataclasses import dataclass

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ERASE = "\x1b[2K"
_ROWS = 24


@dataclass(frozen=True)
class Screen:
    """``kept``: what stands there since the last erasure; ``frames``: what did between two; ``lines``: each that ever did."""

    kept: str
    frames: tuple[str, ...]
    lines: tuple[str, ...]


def on_terminal(command: str, width: int) -> Screen:
    """Run a shell command with a terminal of ``width`` columns at all its ends.

    Raises:
        AssertionError: it fails.
    """
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, width, 0, 0))
        os.execvpe("sh", ["sh", "-c", command], os.environ | {"TERM": "xterm-256color"})  # noqa: S606 - a test's own command
    written = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        written += part
    os.close(terminal)
    text = written.decode()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, text
    drawn = [_ESCAPE.sub("", part) for part in text.split(_ERASE)]
    lines = _ESCAPE.sub("", text).replace("\r", "\n").splitlines()
    return Screen(drawn[-1], tuple(part for part in drawn if part.strip()), tuple(line.rstrip() for line in lines))
