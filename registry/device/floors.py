"""What must never go back, kept outside the metadata cache, which may be lost or thrown away.

The sequence number of each manifest path, the release counter of each fleet and kind, and the latest time that a verified
manifest proves has passed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from components.workspace.errors import InputError
from components.workspace.files import write_json
from registry.contract.manifest import Grown, Manifest, Stamp, manifest_path
from registry.device.facts import Facts

_FILE = "floors.json"
Kind = Literal["model", "firmware"]


class Floors(Grown):
    """``signers``: whose sequence it is, for each manifest path. ``release_counter`` is that of models, as in the files of
    clients that knew no firmware: a model with counter 7 says nothing of a firmware with 5.
    """

    later = ("firmware_counter",)

    sequence: dict[str, int] = Field(default_factory=dict)
    signers: dict[str, str] = Field(default_factory=dict)
    release_counter: dict[str, int] = Field(default_factory=dict)
    firmware_counter: dict[str, int] | None = None
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
        seen = {
            "sequence": self.sequence | {manifest.path: manifest.sequence_number},
            "signers": self.signers | {manifest.path: signers},
            "time": max(self.time, manifest.created_at),
        }
        return self.model_copy(update=seen)

    def counter(self, fleet: str, kind: Kind) -> int:
        """The release counter of the newest that was proven; 0: of none."""
        return (self.release_counter if kind == "model" else self.firmware_counter or {}).get(fleet, 0)

    def after_proof(self, fleet: str, kind: Kind, release_counter: int) -> Floors:
        """Raised by a model that passed its self-test or a firmware that runs: what is older is not taken any more."""
        counter = max(release_counter, self.counter(fleet, kind))
        if kind == "model":
            return self.model_copy(update={"release_counter": self.release_counter | {fleet: counter}})
        return self.model_copy(update={"firmware_counter": (self.firmware_counter or {}) | {fleet: counter}})

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
