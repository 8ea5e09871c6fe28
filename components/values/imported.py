"""A model that was trained elsewhere: an int8 or int16x8 .tflite with what Muster found in it, and codes to try it on."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.values.sealed import broken, digests, load_sealed, packed, save_sealed
from components.workspace.files import sha256_bytes

Codes = NDArray[np.signedinteger[Any]]
"""int8 or int16."""
DESCRIPTION, MODEL, EXAMPLES, KIND = "imported.json", "model.tflite", "examples.npy", "imported-model"


@dataclass(frozen=True)
class Port:
    """A tensor of int8 or int16 codes at one end of a model; ``value = (code - zero) * scale``."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero: int
    bits: int = 8

    @property
    def kind(self) -> type[np.int8] | type[np.int16]:
        return np.int8 if self.bits == 8 else np.int16

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Port:
        shape, bits = tuple(int(n) for n in value["shape"]), int(value.get("bits", 8))
        if bits not in {8, 16}:
            raise ValueError(f"codes of {bits} bits")
        return cls(str(value["name"]), shape, float(value["scale"]), int(value["zero"]), bits)


@dataclass(frozen=True)
class ImportedModel:
    """``examples``: (rows, size of the input) codes; ``drawn``: 'given', or 'random' where nothing was given.

    ``operators``: name -> how many; ``origin``: name of the file that was imported, with its SHA-256 in ``origin_sha256``.
    """

    name: str
    data: bytes
    input: Port
    outputs: tuple[Port, ...]
    operators: dict[str, int]
    macs: int
    classes: tuple[str, ...]
    examples: Codes
    drawn: str
    origin: str
    origin_sha256: str

    @property
    def digest(self) -> str:
        return sha256_bytes(self.data)

    def to_json(self) -> dict[str, Any]:
        """What is in the folder, with the digests of its files."""
        return {
            "schema_version": 1,
            "kind": KIND,
            "name": self.name,
            "origin": {"file": self.origin, "sha256": self.origin_sha256},
            "input": asdict(self.input),
            "outputs": [asdict(port) for port in self.outputs],
            "operators": self.operators,
            "macs": self.macs,
            "classes": list(self.classes),
            "examples": {"rows": len(self.examples), "drawn": self.drawn},
            "files": digests(self._files()),
        }

    def save(self, folder: Path) -> None:
        save_sealed(folder, DESCRIPTION, self.to_json(), self._files())

    def _files(self) -> dict[str, bytes]:
        return {MODEL: self.data, EXAMPLES: packed(self.examples)}

    @classmethod
    def load(cls, folder: Path) -> ImportedModel:
        """Raises:
        NotFound: no imported model there.
        VerificationFailed: a file is not the one that was imported.
        """
        value, files = load_sealed(folder, DESCRIPTION, KIND)
        try:
            entry = Port.from_json(value["input"])
            return cls(
                name=str(value["name"]),
                data=files[MODEL],
                input=entry,
                outputs=tuple(Port.from_json(port) for port in value["outputs"]),
                operators={str(k): int(v) for k, v in value["operators"].items()},
                macs=int(value["macs"]),
                classes=tuple(str(name) for name in value["classes"]),
                examples=np.load(io.BytesIO(files[EXAMPLES]), allow_pickle=False).astype(entry.kind),
                drawn=str(value["examples"]["drawn"]),
                origin=str(value["origin"]["file"]),
                origin_sha256=str(value["origin"]["sha256"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise broken(folder, error) from None
