"""The health report: what a device says before, at and after a change. Sent at least once; equal keys are one report.

Success is the digest of what *runs* after the boot, never that a file was written. A report is JSON with integers only,
at most 2 KiB; `report.schema.json` is its exported schema. It travels signed (signed_report.py).
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from registry.contract.manifest import Grown, Name, Sha256, Stamp, pep440
from registry.contract.reasons import Reason

MAX_BYTES: Final = 2048
Outcome = Literal["started", "installed", "reverted", "failed", "rejected", "already_installed", "running"]
OUTCOMES: Final[tuple[str, ...]] = get_args(Outcome)
RUNS: Final = frozenset({"installed", "already_installed", "running"})
"""Outcomes that state what runs, and so need its digest."""
FAILURES: Final = frozenset({"reverted", "failed", "rejected"})
_TEXTS = 6
"""Text that every report has: rollout_id, device_id, firmware_variant, boot_id, sent_at and outcome."""

_EXACT = 2**53 - 1
"""The largest integer that every JSON parser reads exactly (RFC 8259, section 6)."""

DeviceId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
Count = Annotated[int, Field(ge=0, le=_EXACT)]
Ordinal = Annotated[int, Field(ge=1, le=_EXACT)]
Thousandths = Annotated[int, Field(ge=0, le=_EXACT)]


FirmwareVersion = Annotated[str, AfterValidator(pep440), Field(pattern=r"^[0-9A-Za-z.!+_-]{1,64}$")]
"""PEP 440, without spaces around it."""


class Report(Grown):
    """``counter`` rises with every report of the device, over boots; ``attempt`` with every try at one artefact.

    "started" is sent before the new artefact is tried, "running" is a later statement of health of what runs.
    Latency in microseconds; drift, and the share of windows that were judged anomalous, in thousandths. ``firmware_version``:
    what the device has as it says this; of a firmware, ``running_sha256`` is the image that brought this version.
    """

    later = ("firmware_version",)

    schema_version: Literal[1] = 1
    rollout_id: Name
    device_id: DeviceId
    firmware_variant: Name
    sequence_number: Ordinal
    attempt: Ordinal
    counter: Count
    boot_id: str = Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")
    sent_at: Stamp
    outcome: Outcome
    reason: Reason | None = Field(None, strict=False)
    running_sha256: Sha256 | None = None
    self_test_passed: bool
    errors: Count = 0
    latency_us: Count | None = None
    drift_milli: Thousandths | None = None
    anomaly_milli: int | None = Field(None, ge=0, le=1000)
    firmware_version: FirmwareVersion | None = None

    @model_validator(mode="after")
    def _outcome_has_its_evidence(self) -> Self:
        if self.outcome in RUNS and self.running_sha256 is None:
            raise ValueError(f"'{self.outcome}' needs running_sha256")
        if self.outcome in FAILURES and self.reason is None:
            raise ValueError("a failure needs a reason")
        return self

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What makes two deliveries one report."""
        return self.rollout_id, self.device_id, self.attempt, self.counter

    def to_bytes(self) -> bytes:
        """Compact JSON with sorted keys: equal reports are equal bytes."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse without trusting.

        Raises:
            ValueError: too long, no JSON, a key twice, a float, or against the schema.
        """
        if len(data) > MAX_BYTES:
            raise ValueError(f"{len(data)} bytes, more than {MAX_BYTES}")
        report = cls.model_validate_json(data)
        # No text that the schema allows holds a quote, so a key that is written twice shows as quotes too many.
        told = (report.reason, report.running_sha256, report.firmware_version)
        texts = _TEXTS + sum(text is not None for text in told)
        if data.count(b'"') != 2 * (len(report.model_fields_set) + texts):
            raise ValueError("a key is written twice")
        return report


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of the report."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Report.model_json_schema()
