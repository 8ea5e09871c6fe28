"""One update of one device: fetch what it is offered into the slot that does not run, try it, switch or stay, and say so.

    recover     what a power cut left half done is ended and reported first
    decide      as `client.check`: verify metadata and manifest, wait where there is a reason to
    fetch       into the inactive slot, onto the disk, and read back
    try         report "started", run the self-test within the latency budget
    switch      read the slot once more, replace the pointer: one atomic write
    report      what runs now, read from the active slot

The firmware goes first (firmware.py): a model may need it. While a firmware waits for its reboot no model is
changed, so that none made for the old firmware is put under the new one.

Every step leaves its word on the disk before the next one begins, so that a device which is cut off at any point goes on where it
was: it runs one whole artefact, it does not forget a try, and no report is lost. A microcontroller's gateway does the same up to
the try, hands the artefact over, and `answered` goes on when the microcontroller has tried it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
from registry.device.client import as_it_runs, open_source
from registry.device.facts import Facts
from registry.device.firmware import Firmware
from registry.device.line import Line, Updated
from registry.device.locking import alone
from registry.device.refusal import Refused, Unreachable
from registry.device.reporting import Reporter
from registry.device.selftest import Tested, self_test
from registry.device.source import DEADLINE_S, Source
from registry.device.tries import Try, begin


def update(
    place: str,
    root: bytes,
    facts: Facts,
    state: Path,
    key: Ed25519PrivateKey,
    *,
    tell: Callable[[], object] = lambda: None,
    again: Callable[[], Facts] | None = None,
    settled: Callable[[Updated], object] = lambda _: None,
    now: datetime | None = None,
    deadline_s: float = DEADLINE_S,
) -> Updated:
    """Bring the device to what the repository at ``place`` offers it now: first its firmware, then the model of the firmware
    that it has by then. Doing it again changes nothing.

    ``key`` signs the reports. ``tell`` is called when one was put down that the registry should have before the device goes
    on: it sends what it can, and does not raise. ``again`` reads the facts anew, after an installer changed the firmware.
    ``settled`` hears how the firmware went, before the models begin: what they raise does not take that word away.

    Raises:
        Refused: something does not verify, or the artefact failed its try; ``reason`` says what. The device keeps what it ran.
        Unreachable: the repository does not answer in time.
        Conflict: another process works on the same device.
    """
    now = now or utc_now()
    with alone(state):
        models = _Models(Reporter(facts, state, key), now, tell)
        firmware = Firmware.of(models.reporter, now, tell, again or (lambda: facts))
        models.recover()
        firmware.recover()
        source = open_source(place, root, facts, state, now, deadline_s)
        changed, refused = _attempted(firmware, source)
        settled(changed)
        if firmware.pending:
            why = changed.detail if refused is None else "the firmware before it is not confirmed"
            waits = models.waits(Reason.HANDED_OVER, f"no model is changed: {why}")
            return replace(waits, firmware=changed, firmware_error=refused)
        if changed.installed:
            models = replace(models, reporter=replace(models.reporter, facts=firmware.again()))
            source = open_source(place, root, facts, state, now, deadline_s)
        return replace(models.update(source), firmware=changed, firmware_error=refused)


def _attempted(firmware: Firmware, source: Source) -> tuple[Updated, Refused | Unreachable | None]:
    """A firmware that is refused keeps no model from the device."""
    try:
        return firmware.update(source), None
    except (Refused, Unreachable) as error:
        return firmware.waits(error.reason, error.message), error


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
        device = _Models(Reporter(facts, state, key), now or utc_now(), lambda: None)
        return device.settle(outcome, reason, metrics)


@dataclass(frozen=True)
class _Models(Line):
    @property
    def facts(self) -> Facts:
        return as_it_runs(self.reporter.facts, self.state)

    def refuse_unable(self, manifest: Manifest) -> None:
        """The client installs models by itself."""

    def recover(self) -> None:
        """End what was cut off: a damaged slot is left, and a try ends as what runs now says that it ended."""
        if (lost := self.slots.repair(self.reporter.facts.firmware_variant)) is not None:
            self.reporter.say("reverted", lost, Reason.WRONG_DIGEST)
            self._forget_success_of(lost.sha256)
        last = self.last
        if last is None or last.ended or last.handed_over:
            return
        pointer = self.slots.pointer()
        if pointer is not None and pointer.runs == last.installed:
            self.say_success(last, {})
        else:
            self.say_failure(last, Reason.INTERRUPTED)

    def update(self, source: Source) -> Updated:
        decided = self.decide(source)
        return decided if isinstance(decided, Updated) else self._install(source, *decided)

    def _install(self, source: Source, manifest: Manifest, entry: TargetFile) -> Updated:
        this = self.save(begin(manifest, self.last))
        try:
            artefact = source.fetch(entry, self.facts, self.slots.inactive)
            self.reporter.say("started", this)
            self.tell()
            if artefact.runtime == "c99":
                return self._hand_over(this, manifest)
            tested = self._try(artefact, manifest)
            self.slots.switch(this.installed)
        except (Refused, Unreachable) as error:
            self.say_failure(this, error.reason)
            raise
        return self._confirm(this, manifest, tested)

    def settle(
        self, outcome: Literal["installed", "failed", "reverted"], reason: Reason | None, metrics: dict[str, int | None]
    ) -> Updated:
        self.recover()
        last = self.last
        if last is None or not last.handed_over:
            raise Conflict("nothing was handed over that could be answered", hint="muster device update hands it over first")
        if outcome != "installed":
            self.say_failure(last, reason or Reason.SELF_TEST_FAILED, outcome)
            return self.waits(reason or Reason.SELF_TEST_FAILED, f"the microcontroller says: {outcome}")
        self.prove(last.release_counter)
        self.slots.switch(last.installed)
        self.say_success(last, metrics)
        return Updated(True, Reason.OFFERED, "the microcontroller runs it", self.reporter.running)

    def _try(self, artefact: Artefact, manifest: Manifest) -> Tested:
        tested = self_test(artefact, self.facts.latency_budget_us)
        self.prove(manifest.artifact.release_counter)
        return tested

    def _hand_over(self, this: Try, manifest: Manifest) -> Updated:
        self.save(this.model_copy(update={"handed_over": True}))
        file = self.slots.inactive
        return Updated(
            False, Reason.HANDED_OVER, f"verified, for {self.facts.device_id}", self.reporter.running, manifest, None, file
        )

    def _confirm(self, this: Try, manifest: Manifest, tested: Tested) -> Updated:
        """What is reported is what lies in the active slot now, whatever was written there."""
        if self.slots.repair(self.reporter.facts.firmware_variant) is not None:
            self.say_failure(this, Reason.WRONG_DIGEST, "reverted")
            raise Refused(Reason.WRONG_DIGEST, "the slot changed while it was switched to; the device fell back")
        self.say_success(this, {"latency_us": tested.latency_us})
        return Updated(True, Reason.OFFERED, "installed", self.reporter.running, manifest, tested)

    def _forget_success_of(self, sha256: str) -> None:
        """An artefact that is damaged on the disk is tried again, like one that was never there."""
        last = self.last
        if last is not None and last.sha256 == sha256 and last.ended:
            self.save(last.failed(Reason.WRONG_DIGEST, self.now))
