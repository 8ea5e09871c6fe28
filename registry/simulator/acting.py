"""What a device does once it takes up an offer, by its behaviour: what it says when, and what becomes of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from registry.contract.reasons import Reason
from registry.contract.report import Outcome
from registry.simulator.scenario import Failing, FallingBack, Group, Lying, Silent, SlowDownload

_HOUR = 3600


class End(IntEnum):
    """What became of a device in truth, whatever it said. WAITS: nothing yet, or it tries again."""

    WAITS = 0
    RUNS = 1
    FAILED = 2
    BRICKED = 3
    FELL_BACK = 4
    LIED = 5


BROKEN = (End.FAILED, End.BRICKED, End.FELL_BACK)
"""Ends of devices that tried the release's model, and it did not work."""


@dataclass(frozen=True)
class Said:
    """A report, so many seconds ``after`` the offer was taken up. ``new``: whether the offered artefact is what runs then."""

    after: int
    outcome: Outcome
    new: bool = False
    passed: bool = True
    reason: Reason | None = None


@dataclass(frozen=True)
class Course:
    """``seconds``: until it has come to its ``end``."""

    said: tuple[Said, ...]
    end: End
    seconds: int


def course(group: Group | None, attempt: int, install_s: int) -> Course:
    """The ``attempt``-th try, from 1, of a device of ``group``; None: a healthy one."""
    started = Said(0, "started")
    works = Said(install_s, "installed", new=True)
    match group:
        case Failing():
            failed = Said(install_s, "failed", passed=False, reason=Reason.SELF_TEST_FAILED)
            return Course((started, failed), End.FAILED, install_s)
        case Silent():
            return Course((started,), End.BRICKED, install_s)
        case Lying():
            return Course((started, Said(install_s, "installed")), End.LIED, install_s)
        case FallingBack():
            later = install_s + round(group.hours * _HOUR)
            back = Said(later, "reverted", passed=False, reason=Reason.SELF_TEST_FAILED)
            return Course((started, works, back), End.FELL_BACK, later)
        case SlowDownload() if attempt <= group.attempts:
            later = round(group.hours * _HOUR)
            return Course((started, Said(later, "failed", passed=False, reason=Reason.TOO_SLOW)), End.WAITS, later)
        case _:
            return Course((started, works), End.RUNS, install_s)
