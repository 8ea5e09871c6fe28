"""Every error a user can cause, and the exit code that the command line gives it.

MusterError                       1   (never raised itself)
├── InputError                    2   bad configuration, bad data, bad argument
├── NotFound                      3   a workspace, object, model, release or device that is not there
├── GateFailed                    4   validation, proof or release gate says no
├── Conflict                      5   someone else changed it first
├── BackendUnreachable            6   a server does not answer, or credentials are missing
├── ApprovalNeeded                7   a person has to approve first
└── VerificationFailed            8   tampered, expired, signed by the wrong key

A message has three parts: what failed, why, and what to do next.
Anything else that escapes is a bug and exits 1 with a pointer to ``--debug``.
"""

from __future__ import annotations


class MusterError(Exception):
    """What failed and why, with the next step for the user in ``hint``."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.hint}" if self.hint else self.message


class InputError(MusterError):
    exit_code = 2


class NotFound(MusterError):
    exit_code = 3


class GateFailed(MusterError):
    exit_code = 4


class Conflict(MusterError):
    exit_code = 5


class BackendUnreachable(MusterError):
    exit_code = 6


class ApprovalNeeded(MusterError):
    exit_code = 7


class VerificationFailed(MusterError):
    exit_code = 8
