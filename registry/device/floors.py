"""What must never go back, kept outside the metadata cache, which may be lost or thrown away.

The sequence number of each manifest path, the release counter of each fleet, and the latest time that a verified
manifest proves has passed.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from components.workspace.errors import InputError
from components.workspace.files import write_json
from registry.contract.manifest import Manifest, Part, Stamp, manifest_path
from registry.device.facts import Facts

_FILE = "floors.json"


class Floors(Part):
    """``signers``: whose sequence it is, for each manifest path."""

    sequence: dict[str, int] = Field(default_factory=dict)
    signers: dict[str, str] = Field(default_factory=dict)
    release_counter: dict[str, int] = Field(default_factory=dict)
    time: Stamp = "1970-01-01T00:00:00Z"

    def raised_by(self, facts: Facts) -> Floors:
        """With what the image was built with: a device fresh from the factory has seen nothing, and cannot be taken back."""
        path = manifest_path(facts.fleet, facts.firmware_variant)
        sequence = max(facts.floor_sequence, self.sequence.get(path, 0))
        return self.model_copy(update={"sequence": self.sequence | {path: sequence}, "time": max(self.time, facts.floor_time)})

    def told_by(self, path: str, signers: str) -> Floors:
        """Without the sequence of keys that do not count any more: who stole one cannot lock a device out for ever with the
        highest number there is, and what the old keys signed is not taken anyway.
        """
        if self.signers.get(path, signers) == signers:
            return self
        return self.model_copy(update={"sequence": {p: n for p, n in self.sequence.items() if p != path}})

    def after(self, manifest: Manifest, signers: str) -> Floors:
        """Raised by a manifest that verified, whether or not the device is in its cohort."""
        return Floors(
            sequence=self.sequence | {manifest.path: manifest.sequence_number},
            signers=self.signers | {manifest.path: signers},
            release_counter=self.release_counter,
            time=max(self.time, manifest.created_at),
        )

    def after_self_test(self, fleet: str, release_counter: int) -> Floors:
        """Raised by an artefact that was proven on this device: what is older is not taken any more."""
        counter = max(release_counter, self.release_counter.get(fleet, 0))
        return self.model_copy(update={"release_counter": self.release_counter | {fleet: counter}})

    def save(self, folder: Path) -> None:
        write_json(folder / _FILE, self.model_dump(mode="json"))


def read_floors(folder: Path) -> Floors:
    """The floors of a device; a new device has none.

    Raises:
        InputError: the file is damaged: without its memory a device could be taken back.
    """
    file = folder / _FILE
    if not file.is_file():
        return Floors()
    try:
        return Floors.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"{file} is damaged: {error.errors()[0]['msg']}", hint="restore it; a device without floors must be set up anew"
        ) from None
