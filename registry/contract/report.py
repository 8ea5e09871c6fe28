"""The health report: what a device says after an attempt. Sent at least once; equal keys are one report.

Success is the digest of what *runs* after the boot, never that a file was written.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from registry.contract.manifest import Name, Part, Sha256, Stamp
from registry.contract.reasons import Reason


class Report(Part):
    """``counter`` rises with every report of a boot; latency in microseconds, drift in thousandths."""

    schema_version: Literal[1] = 1
    rollout_id: Name
    device_id: str = Field(min_length=1, max_length=128)
    sequence_number: int = Field(ge=1)
    attempt: int = Field(ge=1)
    counter: int = Field(ge=0)
    boot_id: str = Field(min_length=1, max_length=64)
    sent_at: Stamp
    outcome: Literal["installed", "reverted", "failed", "rejected", "already_installed"]
    reason: Reason | None = Field(None, strict=False)
    running_sha256: Sha256 | None
    self_test_passed: bool
    errors: int = Field(0, ge=0)
    latency_us: int | None = Field(None, ge=0)
    drift_milli: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _success_names_what_runs(self) -> Self:
        if self.outcome in ("installed", "already_installed") and self.running_sha256 is None:
            raise ValueError("success needs running_sha256")
        if self.outcome in ("failed", "rejected", "reverted") and self.reason is None:
            raise ValueError("a failure needs a reason")
        return self

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes two deliveries one report."""
        return self.rollout_id, self.device_id, self.attempt
