"""Two slots for artefacts and a pointer to the one that runs.

    slots/a, slots/b     whole artefacts, or what is left of a download
    slots/active.json    which of them runs, and what the other one held before
    firmware/...         the same for images of firmware, which only an installer makes run

Only the slot that does not run is ever written, and only a whole artefact is ever pointed to: replacing the pointer, one atomic
write, is the whole change. So a power cut at any point leaves exactly one artefact that runs, the old or the new one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from components.workspace.files import sha256_file, write_json
from registry.contract.manifest import Grown, Name, Part, Sha256
from registry.contract.reasons import Reason
from registry.device.floors import Kind
from registry.device.refusal import Refused

_POINTER = "active.json"


class Installed(Grown):
    """An artefact, and by which try of which rollout it came. ``firmware_version``: of a firmware, what devices have after it."""

    later = ("firmware_version",)

    sha256: Sha256
    rollout_id: Name
    firmware_variant: Name
    sequence_number: int = Field(ge=1)
    attempt: int = Field(ge=1)
    firmware_version: str = ""


class Pointer(Part):
    """``slot`` holds what ``runs``; ``before``: what the other one held when it was made, which a later download overwrites."""

    slot: Literal["a", "b"]
    runs: Installed
    before: Installed | None = None

    @property
    def other(self) -> Literal["a", "b"]:
        return "b" if self.slot == "a" else "a"


def memory_of(state: Path, kind: Kind) -> Path:
    """Where a device keeps what belongs to its models or to its firmware alone."""
    return state if kind == "model" else state / "firmware"


def slots_of(state: Path, kind: Kind) -> Slots:
    return Slots(state) if kind == "model" else Slots(state, "firmware")


class Slots:
    """``name``: "slots" for the models of a device, "firmware" for its images."""

    def __init__(self, state: Path, name: str = "slots") -> None:
        self._folder = state / name
        self._folder.mkdir(parents=True, exist_ok=True)

    def pointer(self) -> Pointer | None:
        """None on a device that runs what its image brought. A pointer that does not parse counts as none: it is written anew."""
        try:
            return Pointer.model_validate_json((self._folder / _POINTER).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    @property
    def inactive(self) -> Path:
        """Where the next artefact is written to."""
        pointer = self.pointer()
        return self._folder / (pointer.other if pointer else "a")

    @property
    def active(self) -> Path | None:
        """What runs; None without a pointer, or where the slot is gone."""
        pointer = self.pointer()
        file = self._folder / pointer.slot if pointer else None
        return file if file is not None and file.is_file() else None

    def running(self) -> str | None:
        """Digest of what lies in the active slot now, read anew; None without one."""
        return None if (file := self.active) is None else sha256_file(file)

    def switch(self, new: Installed) -> None:
        """Let the inactive slot run. What lies in it is read again right before: nobody may have changed it since its test.

        Raises:
            Refused: it does not hold ``new``.
        """
        pointer, slot = self.pointer(), self.inactive
        if not slot.is_file() or sha256_file(slot) != new.sha256:
            raise Refused(Reason.WRONG_DIGEST, "the slot does not hold any more what was tested")
        self._point(Pointer(slot="b" if slot.name == "b" else "a", runs=new, before=pointer.runs if pointer else None))

    def adopt(self, runs: Installed) -> None:
        """Let the pointer name what runs though it came in another way: no slot holds it, and the inactive one stays that."""
        inactive = self.inactive.name
        self._point(Pointer(slot="a" if inactive == "b" else "b", runs=runs))

    def repair(self, variant: str | None = None) -> Installed | None:
        """What should run and is damaged, after falling back to what the other slot holds, or to the image's own; else None.

        ``variant``: that of the firmware which the device has; what came for another one is not gone back to.
        """
        pointer = self.pointer()
        if pointer is None or self.running() == pointer.runs.sha256:
            return None
        other = self._folder / pointer.other
        fits = pointer.before is not None and variant in (None, pointer.before.firmware_variant)
        if fits and pointer.before is not None and other.is_file() and sha256_file(other) == pointer.before.sha256:
            self._point(Pointer(slot=pointer.other, runs=pointer.before))
        else:
            (self._folder / _POINTER).unlink()
        return pointer.runs

    def _point(self, pointer: Pointer) -> None:
        write_json(self._folder / _POINTER, pointer.model_dump(mode="json"))
