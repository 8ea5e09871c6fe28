"""One update of a device's firmware: fetch the image into a slot of its own, let the installer flash it, and see what runs then.

    recover     an installer that was cut off, or a reboot that brought the old firmware back, ends its try and is reported
    confirm     what runs after a reboot verified the repository's metadata: the installer makes it last; report "installed"
    decide      as for a model, under the variant `firmware_variant(profile)`
    fetch       into the slot that does not run; a signed image is checked against the release keys
    install     report "started", call the installer (installer.py)
    see         the facts are read anew: they came with the new firmware, and say whether it runs

A device cannot read the image that it runs; it knows it by its version. So nothing counts as installed before the facts say the
version that the manifest promised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from tuf.api.metadata import TargetFile

from components.workspace.errors import InputError, NotFound
from components.workspace.files import sha256_file
from registry.contract.manifest import Manifest, firmware_variant
from registry.contract.reasons import Reason
from registry.device import installer
from registry.device.boot import boot_id
from registry.device.facts import Facts
from registry.device.judge import is_for
from registry.device.line import Line, Updated
from registry.device.refusal import Refused, Unreachable
from registry.device.reporting import Reporter
from registry.device.slots import Installed
from registry.device.source import Source
from registry.device.tries import Try, begin

_IDENTITY = ("device_id", "fleet", "hardware_profile")
"""What no firmware changes."""


@dataclass(frozen=True)
class Firmware(Line):
    """``again``: the device's facts as they are now."""

    again: Callable[[], Facts]

    @classmethod
    def of(cls, models: Reporter, now: datetime, tell: Callable[[], object], again: Callable[[], Facts]) -> Firmware:
        """The firmware of the device whose models report by ``models``."""
        return cls(replace(models, kind="firmware"), now, tell, again)

    @property
    def facts(self) -> Facts:
        own = self.reporter.facts
        changes = {
            "firmware_variant": firmware_variant(own.hardware_profile),
            "floor_sequence": own.floor_firmware_sequence,
            "running_sha256": self.reporter.running,
        }
        return own.model_copy(update=changes)

    @property
    def pending(self) -> bool:
        """Whether a try has no end: until it has one, a model might be put under a firmware that it was not made for."""
        return (last := self.last) is not None and not last.ended

    def recover(self) -> None:
        last = self.last
        if last is None or last.ended or self._runs(last) or installer.at_work(self.reporter.folder):
            return
        if not last.reboot:
            self.say_failure(last, Reason.INTERRUPTED)
        elif last.reboot != boot_id():
            self.say_failure(last, Reason.FELL_BACK, "reverted")

    def update(self, source: Source) -> Updated:
        """Raises Refused or Unreachable, as `updating.update`."""
        if (last := self.last) is not None and not last.ended:
            ready = self._runs(last) and last.reboot != boot_id() and not installer.at_work(self.reporter.folder)
            return self._confirm(last) if ready else self._waits_for(last)
        decided = self.decide(source)
        return decided if isinstance(decided, Updated) else self._install(source, *decided)

    def concerns(self, manifest: Manifest, refused: Refused) -> bool:
        by_device = refused.reason in (Reason.WRONG_FIRMWARE, Reason.WRONG_HARDWARE)
        return not by_device or is_for(manifest, self.reporter.facts)

    def was_told(self, manifest: Manifest) -> bool:
        last = self.last
        return last is not None and last.rollout_id == manifest.rollout_id and last.ended and last.reason is None

    def refuse_unable(self, manifest: Manifest) -> None:
        if not self.reporter.facts.install_firmware:
            raise Refused(
                Reason.WRONG_KIND,
                f"firmware {manifest.artifact.firmware_version} is offered, and the device has no installer",
                hint="name the program that installs it under install_firmware in device.json",
            )

    def reason_to_wait(self, manifest: Manifest) -> tuple[Reason, str] | None:
        """An image that came in another way is known by its version, too, and remembered: it may be taken back."""
        version = manifest.artifact.firmware_version or ""
        if self.reporter.running is None and self.reporter.facts.has_firmware(version):
            self.slots.adopt(begin(manifest, self.last).installed)
        wait = super().reason_to_wait(manifest)
        if wait is None and installer.at_work(self.reporter.folder):
            return Reason.HANDED_OVER, "firmware is being installed: what an installer left behind still runs"
        return wait

    def _install(self, source: Source, manifest: Manifest, entry: TargetFile) -> Updated:
        facts, image = self.facts, self.slots.inactive
        this = self.save(begin(manifest, self.last))
        try:
            source.fetch_image(entry, facts, image)
            self.reporter.say("started", this)
            self.tell()
            if sha256_file(image) != this.sha256:
                raise Refused(Reason.WRONG_DIGEST, "the slot does not hold any more what was verified")
            done = installer.install(facts, self.reporter.folder, image, this)
        except (Refused, Unreachable) as error:
            self.say_failure(this, error.reason)
            raise
        if not done:
            return self._waits_for(self.save(this.model_copy(update={"reboot": boot_id()})))
        return self._see(this)

    def _see(self, this: Try) -> Updated:
        device = replace(self, reporter=replace(self.reporter, facts=self._facts_now()))
        if not device._runs(this):
            self.say_failure(this, Reason.INSTALL_FAILED)
            raise Refused(
                Reason.INSTALL_FAILED,
                f"the installer is done, and the device still has firmware {device.reporter.facts.firmware_version}",
                hint="it has to leave a device.json that says the new version, or exit with 102 where that takes a reboot",
            )
        return device._settle(this)

    def _confirm(self, this: Try) -> Updated:
        """The repository was verified by now: a firmware that could not be updated any more is not made to last."""
        if this.reboot:
            installer.confirm(self.reporter.facts, self.reporter.folder, self.slots.inactive, this)
        return self._settle(this)

    def _settle(self, this: Try) -> Updated:
        self.prove(this.release_counter)
        pointer = self.slots.pointer()
        if pointer is None or pointer.runs != this.installed:
            self._point_to(this.installed)
        self.say_success(this, {})
        return Updated(True, Reason.OFFERED, f"firmware {this.firmware_version} runs", self.reporter.running)

    def _point_to(self, runs: Installed) -> None:
        try:
            self.slots.switch(runs)
        except Refused:  # the copy decayed while the machine rebooted; what was installed from it runs
            self.slots.adopt(runs)

    def _runs(self, this: Try) -> bool:
        return self.reporter.facts.has_firmware(this.firmware_version)

    def _waits_for(self, this: Try) -> Updated:
        until = "waits for the reboot" if this.reboot else "is being installed"
        return self.waits(Reason.HANDED_OVER, f"firmware {this.firmware_version} {until}")

    def _facts_now(self) -> Facts:
        before = self.reporter.facts
        try:
            facts = self.again()
        except (InputError, NotFound) as error:
            raise InputError(
                f"the new firmware's device.json cannot be read: {error.message}",
                hint="the install is in flight: mend device.json on the device, and the next update goes on with it",
            ) from None
        for name in _IDENTITY:
            if getattr(facts, name) != getattr(before, name):
                raise InputError(
                    f"the new firmware's device.json says {name} {getattr(facts, name)}, not {getattr(before, name)}",
                    hint="mend device.json on the device; then ask again",
                )
        return facts
