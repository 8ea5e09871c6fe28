"""How often a device tried what it was offered, how that ended, and when it may try again. One file, written before each try."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from pydantic import Field, ValidationError

from components.workspace.files import write_json
from registry.contract.manifest import Grown, Manifest, Name, Sha256, Stamp
from registry.contract.reasons import AGAIN, Reason
from registry.contract.times import parse_stamp, stamp
from registry.device.slots import Installed

_FILE = "try.json"
_PAUSE_S, _LONGEST_S = 60, 3600
"""The pause after the first failure, doubled with each further one, and the longest."""


class Try(Grown):
    """``attempt`` rises with every try in a rollout, ``tries`` with those of this artefact. ``ended``: nothing is left to be
    said of it. ``reason``: why it failed; ``handed_over``: a microcontroller has the artefact, and has not answered.
    ``reboot``: the boot in which an installer of firmware asked for the next one.
    """

    later = ("firmware_version", "reboot")

    rollout_id: Name
    firmware_variant: Name
    sequence_number: int = Field(ge=1)
    sha256: Sha256
    release_counter: int = Field(ge=1)
    attempt: int = Field(ge=1)
    tries: int = Field(ge=0)
    ended: bool = False
    handed_over: bool = False
    withdraws: bool = Field(False, description="the rollback of a release")
    reason: Reason | None = Field(None, strict=False)
    again_at: Stamp | None = None
    firmware_version: str = ""
    reboot: str = ""

    @property
    def installed(self) -> Installed:
        return Installed(**self.model_dump(include=set(Installed.model_fields)))

    def is_of(self, manifest: Manifest) -> bool:
        return (self.rollout_id, self.sha256) == (manifest.rollout_id, manifest.artifact.sha256)

    def succeeded(self) -> Try:
        return self.model_copy(update={"ended": True, "handed_over": False})

    def failed(self, reason: Reason, now: datetime) -> Try:
        pause = min(_PAUSE_S * 2 ** max(self.tries - 1, 0), _LONGEST_S)
        again = stamp(now + timedelta(seconds=pause))
        return self.model_copy(update={"ended": True, "handed_over": False, "reason": reason, "again_at": again})


def begin(manifest: Manifest, last: Try | None) -> Try:
    """The next try at a manifest's artefact."""
    same_rollout = last is not None and last.rollout_id == manifest.rollout_id
    return Try(
        rollout_id=manifest.rollout_id,
        firmware_variant=manifest.firmware_variant,
        sequence_number=manifest.sequence_number,
        sha256=manifest.artifact.sha256,
        release_counter=manifest.artifact.release_counter,
        attempt=last.attempt + 1 if last and same_rollout else 1,
        tries=last.tries + 1 if last and last.is_of(manifest) else 1,
        withdraws=manifest.state == "rollback",
        firmware_version=manifest.artifact.firmware_version or "",
    )


def reason_to_pause(manifest: Manifest, last: Try | None, now: datetime) -> tuple[Reason, str] | None:
    """Why the device does not try this artefact (again) now, or None."""
    if last is None or not last.is_of(manifest):
        return None
    if last.handed_over:
        return Reason.HANDED_OVER, f"attempt {last.attempt} was handed over; the microcontroller has not answered"
    if last.reason is None:
        return None
    if last.reason not in AGAIN or last.tries >= manifest.gates.max_attempts:
        return Reason.GIVEN_UP, f"attempt {last.attempt} of {manifest.gates.max_attempts} failed for good: {last.reason}"
    if last.again_at is not None and now < parse_stamp(last.again_at):
        return Reason.BACKING_OFF, f"attempt {last.attempt} failed: {last.reason}; not again before {last.again_at}"
    return None


def read_try(state: Path) -> Try | None:
    """The latest try; None where there is none, or where it is damaged: then tries count anew."""
    try:
        return Try.model_validate_json((state / _FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def save_try(state: Path, this: Try) -> Try:
    write_json(state / _FILE, this.model_dump(mode="json"))
    return this
