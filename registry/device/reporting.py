"""What the device says: reports that state what runs, read from the active slot, into the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import Field, ValidationError

from components.workspace.errors import Conflict, InputError, NotFound
from components.workspace.files import write_json
from registry.contract.manifest import Manifest, Name, Part
from registry.contract.reasons import Reason
from registry.contract.report import Outcome, Report
from registry.contract.times import stamp, utc_now
from registry.device.boot import boot_id
from registry.device.facts import Facts
from registry.device.floors import Kind
from registry.device.outbox import Outbox
from registry.device.slots import Slots, memory_of, slots_of
from registry.device.tries import read_try

OFFERED = "offered.json"
"""The latest manifest that was verified and is the device's own."""
_SAID = "said.json"


class About(Protocol):
    """What a report is about: a try, or what is installed."""

    @property
    def rollout_id(self) -> str: ...
    @property
    def firmware_variant(self) -> str: ...
    @property
    def sequence_number(self) -> int: ...
    @property
    def attempt(self) -> int: ...


class _Said(Part):
    rollout_id: Name
    sequence_number: int
    outcome: str
    reason: Reason | None = Field(None, strict=False)


@dataclass(frozen=True)
class Reporter:
    """``key``: the device's own, or that of the gateway that speaks for it. ``kind``: what the reports are about."""

    facts: Facts
    state: Path
    key: Ed25519PrivateKey
    kind: Kind = "model"

    @property
    def folder(self) -> Path:
        return memory_of(self.state, self.kind)

    @property
    def slots(self) -> Slots:
        return slots_of(self.state, self.kind)

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.state, self.key)

    @property
    def running(self) -> str | None:
        """Digest of what runs: of the active slot, read anew, or of what the image brought; of firmware, the image that brought
        the version which the device has.
        """
        slots, pointer = self.slots, self.slots.pointer()
        if self.kind == "firmware":
            return pointer.runs.sha256 if pointer and self.facts.has_firmware(pointer.runs.firmware_version) else None
        return self.facts.running_sha256 if pointer is None else slots.running()

    def say(
        self, outcome: Outcome, about: About, reason: Reason | None = None, *, passed: bool = False, **metrics: Any
    ) -> Report | None:
        """None: there was no room for it."""
        return self.outbox.put(
            outcome=outcome,
            reason=reason,
            rollout_id=about.rollout_id,
            firmware_variant=about.firmware_variant,
            sequence_number=about.sequence_number,
            attempt=about.attempt,
            device_id=self.facts.device_id,
            boot_id=boot_id(),
            sent_at=stamp(utc_now()),
            running_sha256=self.running,
            self_test_passed=passed,
            firmware_version=self.facts.reportable_firmware,
            **metrics,
        )

    def say_once(self, outcome: Outcome, manifest: Manifest, reason: Reason | None = None) -> None:
        """Of a manifest that led to no try: a device that asks every hour does not repeat itself every hour."""
        said = _Said(rollout_id=manifest.rollout_id, sequence_number=manifest.sequence_number, outcome=outcome, reason=reason)
        if self._last_said() == said:
            return
        about = _Untried(manifest, self._attempt(manifest))
        self.say(outcome, about, reason, passed=outcome == "already_installed")
        write_json(self.folder / _SAID, said.model_dump(mode="json"))

    def say_running(self, *, passed: bool, **metrics: Any) -> Report | None:
        """How what runs is doing: beside the rollout that is offered now, also where it has not reached the device.

        Never after a try that failed: the statement would stand over how the try ended. Then it is about what was installed
        before, if anything was.

        Raises:
            Conflict: the device was never offered anything that the statement could be about, or knows no digest of what runs.
        """
        if self.running is None:
            raise self._unknown()
        about = self._running_in()
        if about is None:
            raise Conflict("there is no rollout to report on", hint="muster device update asks what is offered")
        return self.say("running", about, passed=passed, **metrics)

    def _unknown(self) -> Conflict:
        last = read_try(self.state)
        if last is not None and (Slots(self.state).pointer() or last.reason == Reason.WRONG_DIGEST):
            return Conflict(
                f"the artefact of {last.rollout_id} is damaged or gone, and there is none to fall back to",
                hint="muster device update installs what is offered anew",
            )
        return Conflict("it is not known what runs", hint="give running_sha256 in device.json until something is installed")

    def _running_in(self) -> About | None:
        last, pointer = read_try(self.folder), self.slots.pointer()
        offered = self._offered()
        if offered is None or (last is not None and last.rollout_id == offered.rollout_id and last.reason is not None):
            return pointer.runs if pointer else None
        return _Untried(offered, self._attempt(offered))

    def _attempt(self, manifest: Manifest) -> int:
        """Of what is said without a try: a new one under another firmware, so that no failure under
        the one before stands over it.
        """
        last = read_try(self.folder)
        if last is None or last.rollout_id != manifest.rollout_id:
            return 1
        return last.attempt + (last.firmware_variant != manifest.firmware_variant)

    def _offered(self) -> Manifest | None:
        try:
            return Manifest.from_bytes((self.folder / OFFERED).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def _last_said(self) -> _Said | None:
        try:
            return _Said.model_validate_json((self.folder / _SAID).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None


@dataclass(frozen=True)
class _Untried:
    manifest: Manifest
    attempt: int

    @property
    def rollout_id(self) -> str:
        return self.manifest.rollout_id

    @property
    def firmware_variant(self) -> str:
        return self.manifest.firmware_variant

    @property
    def sequence_number(self) -> int:
        return self.manifest.sequence_number


def read_key(file: Path) -> Ed25519PrivateKey:
    """The private key that `muster device enroll --make-key` writes (PKCS 8, PEM).

    Raises:
        NotFound: no such file.
        InputError: it holds no ed25519 key.
    """
    if not file.is_file():
        raise NotFound(f"no key in {file}", hint="muster device enroll DEVICE --make-key FILE makes one")
    try:
        key = load_pem_private_key(file.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"{file} holds no private key: {error}", hint="give the file of --make-key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{file} holds no ed25519 key", hint="give the file of --make-key")
    return key
