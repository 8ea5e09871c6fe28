"""A program on a terminal of its own, and what a person sees there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
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
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, width, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color"}
    child = subprocess.Popen(["sh", "-c", command], stdin=end, stdout=end, stderr=end, env=environment, start_new_session=True)
    os.close(end)
    written = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        written += part
    text = written.decode()
    status = child.wait(60)
    os.close(terminal)
    assert status == 0, f"exit {status}: {text}"
    drawn = [_ESCAPE.sub("", part) for part in text.split(_ERASE)]
    lines = _ESCAPE.sub("", text).replace("\r", "\n").splitlines()
    return Screen(drawn[-1], tuple(part for part in drawn if part.strip()), tuple(line.rstrip() for line in lines))
