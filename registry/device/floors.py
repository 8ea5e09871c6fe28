"""What must never go back, kept outside the metadata cache, which may be lost or thrown away.

The sequence number of each manifest path, the release counter of each fleet, and the latest time that a verified
manifest proves has passed.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from components.workspace.errors import InputError
from components.workspace.files import write_json
from registry.contract.manifest import Manifest, Part, Stamp

_FILE = "floors.json"


class Floors(Part):
    sequence: dict[str, int] = Field(default_factory=dict)
    release_counter: dict[str, int] = Field(default_factory=dict)
    time: Stamp = "1970-01-01T00:00:00Z"

    def after(self, manifest: Manifest) -> Floors:
        """Raised by a manifest that verified, whether or not the device is in its cohort."""
        return Floors(
            sequence=self.sequence | {manifest.path: manifest.sequence_number},
            release_counter=self.release_counter,
            time=max(self.time, manifest.created_at),
        )

    def after_self_test(self, manifest: Manifest) -> Floors:
        """Raised by an artefact that was proven on this device: what is older is not taken any more."""
        counter = max(manifest.artifact.release_counter, self.release_counter.get(manifest.fleet_id, 0))
        return self.model_copy(update={"release_counter": self.release_counter | {manifest.fleet_id: counter}})

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
