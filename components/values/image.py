"""The record that a firmware image, or a file that firmware loads, holds the model of an artefact: `image.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from components.workspace.errors import InputError
from components.workspace.files import write_json

RECORD = "image.json"
PAYLOAD = "payload.bin"


@dataclass(frozen=True)
class ImageRecord:
    """``payload_*``: what is signed and flashed; ``source_*``: the file that was attached, an ELF or the same.

    ``level``: 'emulated' (its self-test ran on an emulated board), 'model-inside' (the model's tables lie in it), or
    'identical' (it is the artefact, or the model file in it). ``interface``: major.minor of the C interface, of other runtimes
    their oldest version. ``machine`` says in words what was run, ``missing`` what would raise the level.
    """

    kind: Literal["firmware", "model"]
    profile: str
    artefact_sha256: str
    model_digest: str
    interface: str
    payload_sha256: str
    payload_bytes: int
    source_name: str
    source_sha256: str
    level: str
    machine: str
    missing: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"schema_version": 1} | asdict(self)

    def save(self, folder: Path) -> None:
        write_json(folder / RECORD, self.to_json())

    @classmethod
    def load(cls, folder: Path) -> ImageRecord:
        """Raises InputError when the record is damaged."""
        try:
            value = json.loads((folder / RECORD).read_text())
            if value.pop("schema_version") != 1 or value["kind"] not in ("firmware", "model"):
                raise ValueError("unknown version or kind")
            return cls(**value)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{folder / RECORD} does not parse: {error}", hint="attach the image again") from None
