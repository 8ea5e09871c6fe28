"""Servers that tests start: on free loopback ports, awaited until they answer, gone at the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def started(command: Sequence[str], log: Path, *, cwd: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command`` with all its output in ``log``; it and its children are killed when the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=dict(env), stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if _signalled(process.pid, sign) and not _gone(process):
                continue
            break
        process.wait()


def until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, *, seconds: float) -> None:
    """Poll ``ready`` until it holds.

    Raises:
        AssertionError: the process ended, or the time is over; with the end of its log.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        alive = process.poll() is None
        assert alive, f"it ended with {process.returncode}:\n{_end(log)}"
        assert time.monotonic() < deadline, f"not ready after {seconds:.0f} s:\n{_end(log)}"
        time.sleep(0.2)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _signalled(group: int, sign: signal.Signals) -> bool:
    try:
        os.killpg(group, sign)
    except ProcessLookupError:
        return False
    return True


def _gone(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]
