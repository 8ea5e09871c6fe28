"""A float model that came as ONNX: the file, what Muster found in it, and inputs to measure it on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.values.sealed import broken, digests, load_sealed, packed, save_sealed, unpacked
from components.workspace.files import sha256_bytes

DESCRIPTION, MODEL, EXAMPLES, KIND = "imported.json", "model.onnx", "examples.npy", "imported-onnx"


@dataclass(frozen=True)
class Signal:
    """A float32 tensor at one end of a model, of the shape that a single inference has."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Signal:
        return cls(str(value["name"]), tuple(int(n) for n in value["shape"]))


@dataclass(frozen=True)
class ImportedOnnx:
    """``data``: the .onnx. ``examples``: (rows, size of the input) float32 in the unit of the model.

    ``operators``: name -> how many; ``macs``: multiply-accumulates of one inference; ``origin``: name of the file that was
    imported, with its SHA-256 in ``origin_sha256``.
    """

    name: str
    data: bytes
    input: Signal
    outputs: tuple[Signal, ...]
    operators: dict[str, int]
    macs: int
    classes: tuple[str, ...]
    examples: NDArray[np.float32]
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
            "examples": len(self.examples),
            "files": digests(self._files()),
        }

    def save(self, folder: Path) -> None:
        save_sealed(folder, DESCRIPTION, self.to_json(), self._files())

    @classmethod
    def load(cls, folder: Path) -> ImportedOnnx:
        """Raises:
        NotFound: no imported model there.
        VerificationFailed: a file is not the one that was imported.
        """
        value, files = load_sealed(folder, DESCRIPTION, KIND)
        try:
            return cls(
                name=str(value["name"]),
                data=files[MODEL],
                input=Signal.from_json(value["input"]),
                outputs=tuple(Signal.from_json(port) for port in value["outputs"]),
                operators={str(k): int(v) for k, v in value["operators"].items()},
                macs=int(value["macs"]),
                classes=tuple(str(name) for name in value["classes"]),
                examples=unpacked(files[EXAMPLES]),
                origin=str(value["origin"]["file"]),
                origin_sha256=str(value["origin"]["sha256"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise broken(folder, error) from None

    def _files(self) -> dict[str, bytes]:
        return {MODEL: self.data, EXAMPLES: packed(self.examples)}
