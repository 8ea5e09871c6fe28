"""What a device does alike for its models and for its firmware: decide, refuse, end a try, and say how it went."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from tuf.api.metadata import TargetFile

from registry.contract.manifest import Manifest
from registry.contract.reasons import Reason
from registry.device.client import nothing_offered, take_note
from registry.device.facts import Facts
from registry.device.floors import read_floors
from registry.device.judge import in_stage, reason_to_wait
from registry.device.refusal import Refused, Unreachable
from registry.device.reporting import Reporter
from registry.device.selftest import Tested
from registry.device.slots import Slots
from registry.device.source import Source
from registry.device.tries import Try, read_try, reason_to_pause, save_try


@dataclass(frozen=True)
class Updated:
    """``installed``: the device runs ``manifest``'s artefact since now; else ``reason`` and ``detail`` say why nothing changed.

    ``running_sha256``: of what it runs, None where that is not known. ``staged``: the file that a gateway hands over.
    ``firmware``: the same of its firmware, and ``firmware_error`` the error where it was refused while the models went on.
    """

    installed: bool
    reason: Reason
    detail: str
    running_sha256: str | None
    manifest: Manifest | None = None
    tested: Tested | None = None
    staged: Path | None = None
    firmware: Updated | None = None
    firmware_error: Refused | Unreachable | None = None


@dataclass(frozen=True)
class Line(ABC):
    """Models or firmware of one device; ``reporter`` knows which. ``tell``: sends the reports that wait, as far as it can."""

    reporter: Reporter
    now: datetime
    tell: Callable[[], object]

    @property
    @abstractmethod
    def facts(self) -> Facts:
        """As manifests of this line are held against them."""

    @property
    def state(self) -> Path:
        return self.reporter.state

    @property
    def slots(self) -> Slots:
        return self.reporter.slots

    @property
    def last(self) -> Try | None:
        return read_try(self.reporter.folder)

    def concerns(self, _manifest: Manifest, _refused: Refused) -> bool:
        """Whether what was refused was meant for this device."""
        return True

    def was_told(self, manifest: Manifest) -> bool:
        """Whether the device said of this rollout that it installed it."""
        pointer = self.slots.pointer()
        return pointer is not None and pointer.runs.rollout_id == manifest.rollout_id

    @abstractmethod
    def refuse_unable(self, manifest: Manifest) -> None:
        """Raises Refused where the device cannot install what it is to install now."""

    def decide(self, source: Source) -> tuple[Manifest, TargetFile] | Updated:
        """What is to be installed now, with the entry that vouches for it; or why there is nothing to do."""
        manifest = source.manifest(self.facts, self.reporter.kind)
        if manifest is None:
            nothing = nothing_offered(self.facts)
            return self.waits(nothing.reason, nothing.detail)
        try:
            take_note(manifest, source.signers(self.facts.fleet), self.facts, self.state, self.now, self.reporter.kind)
            if wait := self.reason_to_wait(manifest):
                return self.waits(*wait, manifest)
            self.refuse_unable(manifest)
            return manifest, source.approved(manifest, self.facts, read_floors(self.state))
        except Refused as refused:
            if not self.concerns(manifest, refused):
                return self.waits(refused.reason, refused.message, manifest)
            self.reject(manifest, refused.reason)
            raise

    def reason_to_wait(self, manifest: Manifest) -> tuple[Reason, str] | None:
        wait = reason_to_wait(manifest, self.facts, self.now)
        if wait is None:
            return reason_to_pause(manifest, self.last, self.now)
        if wait[0] == Reason.ALREADY_INSTALLED and not self.was_told(manifest) and in_stage(manifest, self.facts):
            self.reporter.say_once("already_installed", manifest)
        return wait

    def waits(self, reason: Reason, detail: str, manifest: Manifest | None = None) -> Updated:
        return Updated(False, reason, detail, self.reporter.running, manifest)

    def reject(self, manifest: Manifest, reason: Reason) -> None:
        """Said by devices that the release reaches, of a manifest that is theirs."""
        mine = (manifest.fleet_id, manifest.firmware_variant) == (self.facts.fleet, self.facts.firmware_variant)
        if mine and in_stage(manifest, self.facts):
            self.reporter.say_once("rejected", manifest, reason)

    def save(self, this: Try) -> Try:
        return save_try(self.reporter.folder, this)

    def prove(self, release_counter: int) -> None:
        """Raise the floor for the release counter: what is older is not taken any more."""
        raised = read_floors(self.state).after_proof(self.facts.fleet, self.reporter.kind, release_counter)
        raised.save(self.state)

    def say_success(self, this: Try, metrics: dict[str, Any]) -> None:
        """A rollback that worked is no success of the release: it says that the device went back."""
        if this.withdraws:
            self.reporter.say("reverted", this, Reason.WITHDRAWN, passed=True, **metrics)
        else:
            self.reporter.say("installed", this, passed=True, **metrics)
        self.save(this.succeeded())

    def say_failure(self, this: Try, reason: Reason, outcome: Literal["failed", "reverted"] = "failed") -> None:
        self.reporter.say(outcome, this, reason)
        self.save(this.failed(reason, self.now))
