"""A model that was trained elsewhere: an int8 .tflite with what Muster found in it, and codes to try it on."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.workspace.errors import NotFound, VerificationFailed
from components.workspace.files import new_folder, sha256_bytes, write_bytes, write_json

DESCRIPTION, MODEL, EXAMPLES = "imported.json", "model.tflite", "examples.npy"


@dataclass(frozen=True)
class Port:
    """An int8 tensor at one end of a model; ``value = (code - zero) * scale``."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero: int

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Port:
        return cls(str(value["name"]), tuple(int(n) for n in value["shape"]), float(value["scale"]), int(value["zero"]))


@dataclass(frozen=True)
class ImportedModel:
    """``examples``: (rows, size of the input) int8 codes; ``drawn``: 'given', or 'random' where nothing was given.

    ``operators``: name -> how many; ``origin``: name of the file that was imported, with its SHA-256 in ``origin_sha256``.
    """

    name: str
    data: bytes
    input: Port
    outputs: tuple[Port, ...]
    operators: dict[str, int]
    macs: int
    classes: tuple[str, ...]
    examples: NDArray[np.int8]
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
            "kind": "imported-model",
            "name": self.name,
            "origin": {"file": self.origin, "sha256": self.origin_sha256},
            "model": {"file": MODEL, "sha256": self.digest, "bytes": len(self.data)},
            "input": asdict(self.input),
            "outputs": [asdict(port) for port in self.outputs],
            "operators": self.operators,
            "macs": self.macs,
            "classes": list(self.classes),
            "examples": {
                "file": EXAMPLES,
                "sha256": sha256_bytes(_packed(self.examples)),
                "rows": len(self.examples),
                "drawn": self.drawn,
            },
        }

    def save(self, folder: Path) -> None:
        with new_folder(folder) as beside:
            write_bytes(beside / MODEL, self.data)
            write_bytes(beside / EXAMPLES, _packed(self.examples))
            write_json(beside / DESCRIPTION, self.to_json())

    @classmethod
    def load(cls, folder: Path) -> ImportedModel:
        """Raises:
        NotFound: no imported model there.
        VerificationFailed: a file is not the one that was imported.
        """
        if not (folder / DESCRIPTION).is_file():
            raise NotFound(f"no imported model in {folder}", hint="muster model import writes one; name its --out folder")
        try:
            value = json.loads((folder / DESCRIPTION).read_bytes())
            data, examples = ((folder / value[part]["file"]).read_bytes() for part in ("model", "examples"))
            for part, found in (("model", data), ("examples", examples)):
                if sha256_bytes(found) != value[part]["sha256"]:
                    raise VerificationFailed(f"{folder / value[part]['file']} was changed", hint="import the model again")
            codes = np.load(io.BytesIO(examples), allow_pickle=False).astype(np.int8)
            return cls(
                name=str(value["name"]),
                data=data,
                input=Port.from_json(value["input"]),
                outputs=tuple(Port.from_json(port) for port in value["outputs"]),
                operators={str(k): int(v) for k, v in value["operators"].items()},
                macs=int(value["macs"]),
                classes=tuple(str(name) for name in value["classes"]),
                examples=codes,
                drawn=str(value["examples"]["drawn"]),
                origin=str(value["origin"]["file"]),
                origin_sha256=str(value["origin"]["sha256"]),
            )
        except (KeyError, TypeError, ValueError, FileNotFoundError) as error:
            raise VerificationFailed(
                f"{folder} holds no whole imported model: {type(error).__name__}: {error}", hint="import the model again"
            ) from None


def _packed(codes: NDArray[np.int8]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(codes), allow_pickle=False)
    return stream.getvalue()
