"""A device refuses with a reason of the contract, so that refusals can be reported and counted."""

from __future__ import annotations

from components.workspace.errors import BackendUnreachable, VerificationFailed
from registry.contract.reasons import Reason


class Refused(VerificationFailed):
    """Something signed, fetched or computed is not as it has to be; the device keeps what it runs."""

    def __init__(self, reason: Reason, message: str, *, hint: str = "") -> None:
        super().__init__(f"[{reason}] {message}", hint=hint or "the device keeps what it runs; tell whoever publishes")
        self.reason = reason


class Unreachable(BackendUnreachable):
    """The repository does not answer, or not in time; the device keeps what it runs and asks again."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"[{reason}] {message}", hint="the device keeps what it runs and asks again later")
        self.reason = reason
