"""The program that flashes an image: a device on Linux cannot replace the system that it runs on by itself.

    PROGRAM ... install IMAGE VERSION SHA256    exit 0: it runs now; 102: after the next reboot; else it is not installed
    PROGRAM ... confirm IMAGE VERSION SHA256    after that reboot, once the new firmware works: make it last; exit 0: done

``install_firmware`` of device.json names it; no shell reads it. What it prints is the operator's to see. While it runs it holds a
lock, also when the client that called it was killed: nothing else touches the device meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from registry.contract.reasons import Reason
from registry.device.facts import Facts
from registry.device.refusal import Refused
from registry.device.tries import Try

REBOOT = 102
"""Exit status: installed, and runs after the next reboot."""
_LOCK = ".installing"
_STDERR = 2


def install(facts: Facts, folder: Path, image: Path, this: Try) -> bool:
    """Whether the image runs now; False: it will after a reboot.

    Raises:
        Refused: the installer failed, or took longer than ``install_seconds``.
    """
    status = _call("install", facts, folder, image, this)
    if status not in (0, REBOOT):
        raise _failed(f"the installer ended with status {status}")
    return status == 0


def confirm(facts: Facts, folder: Path, image: Path, this: Try) -> None:
    """Raises Refused where the installer does not make what runs last; a device without an installer has nothing to confirm."""
    if facts.install_firmware and (status := _call("confirm", facts, folder, image, this)) != 0:
        raise _failed(f"the installer does not confirm what runs: status {status}")


def at_work(folder: Path) -> bool:
    """Whether an installer that an earlier client called still runs."""
    try:
        with _held(folder):
            return False
    except BlockingIOError:
        return True


def _call(verb: Literal["install", "confirm"], facts: Facts, folder: Path, image: Path, this: Try) -> int:
    """The exit status."""
    command = [*facts.install_firmware, verb, str(image.resolve()), this.firmware_version, this.sha256]
    with _held(folder) as lock:
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=_STDERR, pass_fds=(lock,), start_new_session=True)
        except OSError as error:
            raise _failed(f"the installer {command[0]} does not start: {error.strerror}") from None
        try:
            return child.wait(facts.install_seconds)
        except subprocess.TimeoutExpired:
            raise _failed(f"the installer was not done after {facts.install_seconds} s, and was ended") from None
        finally:
            if child.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _failed(what: str) -> Refused:
    return Refused(
        Reason.INSTALL_FAILED,
        what,
        hint="the program is the device's: see what it printed, and mend what install_firmware in device.json names",
    )


@contextmanager
def _held(folder: Path) -> Iterator[int]:
    """A lock that lives as long as any process that has inherited its descriptor.

    Raises:
        BlockingIOError: another one has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock
    finally:
        os.close(lock)
