"""One update of one device: fetch what it is offered into the slot that does not run, try it, switch or stay, and say so.

    recover     what a power cut left half done is ended and reported first
    decide      as `client.check`: verify metadata and manifest, wait where there is a reason to
    fetch       into the inactive slot, onto the disk, and read back
    try         report "started", run the self-test within the latency budget
    switch      read the slot once more, replace the pointer: one atomic write
    report      what runs now, read from the active slot

Every step leaves its word on the disk before the next one begins, so that a device which is cut off at any point goes on where it
was: it runs one whole artefact, it does not forget a try, and no report is lost. A microcontroller's gateway does the same up to
the try, hands the artefact over, and `answered` goes on when the microcontroller has tried it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tuf.api.metadata import TargetFile

from components.values.artefact import Artefact
from components.workspace.errors import Conflict
from registry.contract.manifest import Manifest
from registry.contract.reasons import Reason
from registry.contract.times import utc_now
from registry.device.client import as_it_runs, nothing_offered, open_source, take_note
from registry.device.facts import Facts
from registry.device.floors import read_floors
from registry.device.judge import in_stage, reason_to_wait
from registry.device.locking import alone
from registry.device.refusal import Refused, Unreachable
from registry.device.reporting import Reporter
from registry.device.selftest import Tested, self_test
from registry.device.slots import Slots
from registry.device.source import DEADLINE_S, Source
from registry.device.tries import Try, begin, read_try, reason_to_pause, save_try


@dataclass(frozen=True)
class Updated:
    """``installed``: the device runs ``manifest``'s artefact since now; else ``reason`` and ``detail`` say why nothing changed.

    ``running_sha256``: of what it runs, None where that is not known. ``staged``: the file that a gateway hands over.
    """

    installed: bool
    reason: Reason
    detail: str
    running_sha256: str | None
    manifest: Manifest | None = None
    tested: Tested | None = None
    staged: Path | None = None


def update(
    place: str,
    root: bytes,
    facts: Facts,
    state: Path,
    key: Ed25519PrivateKey,
    *,
    tell: Callable[[], object] = lambda: None,
    now: datetime | None = None,
    deadline_s: float = DEADLINE_S,
) -> Updated:
    """Bring the device to what the repository at ``place`` offers it now. Doing it again changes nothing.

    ``key`` signs the reports. ``tell`` is called when one was put down that the registry should have before the device goes
    on: it sends what it can, and does not raise.

    Raises:
        Refused: something does not verify, or the artefact failed its try; ``reason`` says what. The device keeps what it ran.
        Unreachable: the repository does not answer in time.
        Conflict: another process works on the same device.
    """
    now = now or utc_now()
    with alone(state):
        device = _Device(Reporter(facts, state, key), now, tell)
        device.recover()
        source = open_source(place, root, facts, state, now, deadline_s)
        manifest = source.manifest(facts)
        if manifest is None:
            return device.waits(nothing_offered(facts).reason, nothing_offered(facts).detail)
        try:
            take_note(manifest, source.signers(facts.fleet), facts, state, now)
            if wait := device.reason_to_wait(manifest):
                return device.waits(*wait, manifest)
            entry = source.approved(manifest, facts, read_floors(state))
        except Refused as refused:
            device.reject(manifest, refused.reason)
            raise
        return device.install(source, entry, manifest)


def answered(
    facts: Facts,
    state: Path,
    key: Ed25519PrivateKey,
    outcome: Literal["installed", "failed", "reverted"],
    reason: Reason | None,
    *,
    now: datetime | None = None,
    **metrics: int | None,
) -> Updated:
    """What a microcontroller said of the artefact that it was handed; its gateway relays it.

    Raises:
        Conflict: nothing was handed over, or it was answered already.
    """
    with alone(state):
        device = _Device(Reporter(facts, state, key), now or utc_now(), lambda: None)
        return device.settle(outcome, reason, metrics)


@dataclass(frozen=True)
class _Device:
    reporter: Reporter
    now: datetime
    tell: Callable[[], object]

    @property
    def facts(self) -> Facts:
        return self.reporter.facts

    @property
    def state(self) -> Path:
        return self.reporter.state

    @property
    def slots(self) -> Slots:
        return Slots(self.state)

    def recover(self) -> None:
        """End what was cut off: a damaged slot is left, and a try ends as what runs now says that it ended."""
        if (lost := self.slots.repair()) is not None:
            self.reporter.say("reverted", lost, Reason.WRONG_DIGEST)
            self._forget_success_of(lost.sha256)
        last = read_try(self.state)
        if last is None or last.ended or last.handed_over:
            return
        pointer = self.slots.pointer()
        if pointer is not None and pointer.runs == last.installed:
            self._say_success(last, None)
        else:
            self._say_failure(last, Reason.INTERRUPTED)

    def reason_to_wait(self, manifest: Manifest) -> tuple[Reason, str] | None:
        facts = as_it_runs(self.facts, self.state)
        wait = reason_to_wait(manifest, facts, self.now)
        if wait is None:
            return reason_to_pause(manifest, read_try(self.state), self.now)
        pointer = self.slots.pointer()
        told = pointer is not None and pointer.runs.rollout_id == manifest.rollout_id
        if wait[0] == Reason.ALREADY_INSTALLED and not told and in_stage(manifest, facts):
            self.reporter.say_once("already_installed", manifest)
        return wait

    def waits(self, reason: Reason, detail: str, manifest: Manifest | None = None) -> Updated:
        return Updated(False, reason, detail, self.reporter.running, manifest)

    def reject(self, manifest: Manifest, reason: Reason) -> None:
        """Said by devices that the release reaches, of a manifest that is theirs."""
        mine = (manifest.fleet_id, manifest.firmware_variant) == (self.facts.fleet, self.facts.firmware_variant)
        if mine and in_stage(manifest, self.facts):
            self.reporter.say_once("rejected", manifest, reason)

    def install(self, source: Source, entry: TargetFile, manifest: Manifest) -> Updated:
        this = save_try(self.state, begin(manifest, read_try(self.state)))
        try:
            artefact = source.fetch(entry, self.facts, self.slots.inactive)
            self.reporter.say("started", this)
            self.tell()
            if artefact.runtime == "c99":
                return self._hand_over(this, manifest)
            tested = self._try(artefact, manifest)
            self.slots.switch(this.installed)
        except (Refused, Unreachable) as error:
            self._say_failure(this, error.reason)
            raise
        return self._confirm(this, manifest, tested)

    def settle(
        self, outcome: Literal["installed", "failed", "reverted"], reason: Reason | None, metrics: dict[str, int | None]
    ) -> Updated:
        self.recover()
        last = read_try(self.state)
        if last is None or not last.handed_over:
            raise Conflict("nothing was handed over that could be answered", hint="muster device update hands it over first")
        if outcome != "installed":
            self._say_failure(last, reason or Reason.SELF_TEST_FAILED, outcome)
            return self.waits(reason or Reason.SELF_TEST_FAILED, f"the microcontroller says: {outcome}")
        read_floors(self.state).after_self_test(self.facts.fleet, last.release_counter).save(self.state)
        self.slots.switch(last.installed)
        self._say_success(last, None, metrics)
        return Updated(True, Reason.OFFERED, "the microcontroller runs it", self.reporter.running)

    def _try(self, artefact: Artefact, manifest: Manifest) -> Tested:
        tested = self_test(artefact, self.facts.latency_budget_us)
        read_floors(self.state).after_self_test(manifest.fleet_id, manifest.artifact.release_counter).save(self.state)
        return tested

    def _hand_over(self, this: Try, manifest: Manifest) -> Updated:
        save_try(self.state, this.model_copy(update={"handed_over": True}))
        file = self.slots.inactive
        return Updated(
            False, Reason.HANDED_OVER, f"verified, for {self.facts.device_id}", self.reporter.running, manifest, None, file
        )

    def _confirm(self, this: Try, manifest: Manifest, tested: Tested) -> Updated:
        """What is reported is what lies in the active slot now, whatever was written there."""
        if self.slots.repair() is not None:
            self._say_failure(this, Reason.WRONG_DIGEST, "reverted")
            raise Refused(Reason.WRONG_DIGEST, "the slot changed while it was switched to; the device fell back")
        self._say_success(this, tested)
        return Updated(True, Reason.OFFERED, "installed", self.reporter.running, manifest, tested)

    def _say_success(self, this: Try, tested: Tested | None, metrics: dict[str, int | None] | None = None) -> None:
        """A rollback that worked is no success of the release: it says that the device went back."""
        said = {"latency_us": tested.latency_us} if tested else metrics or {}
        if this.withdraws:
            self.reporter.say("reverted", this, Reason.WITHDRAWN, passed=True, **said)
        else:
            self.reporter.say("installed", this, passed=True, **said)
        save_try(self.state, this.succeeded())

    def _say_failure(self, this: Try, reason: Reason, outcome: Literal["failed", "reverted"] = "failed") -> None:
        self.reporter.say(outcome, this, reason)
        save_try(self.state, this.failed(reason, self.now))

    def _forget_success_of(self, sha256: str) -> None:
        """An artefact that is damaged on the disk is tried again, like one that was never there."""
        last = read_try(self.state)
        if last is not None and last.sha256 == sha256 and last.ended:
            save_try(self.state, last.failed(Reason.WRONG_DIGEST, self.now))
