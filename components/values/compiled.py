"""An imported model compiled for one hardware profile: files of its runtime, and golden vectors."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.values.built import DESCRIPTION, Built
from components.values.imported import Codes, Port
from components.values.sealed import broken, digests, load_sealed, save_sealed

GOLDEN, KIND = "golden.npz", "imported"


@dataclass(frozen=True)
class Golden:
    """``inputs``, ``outputs``: (vectors, size) codes, the outputs of a model one after the other."""

    inputs: Codes
    outputs: Codes


@dataclass(frozen=True)
class CompiledModel(Built):
    """``members``: file name -> bytes of the runtime. ``golden``: what the runtime must answer."""

    name: str
    profile: str
    runtime: str
    runtime_minimal: str
    model_digest: str
    input: Port
    outputs: tuple[Port, ...]
    classes: tuple[str, ...]
    macs: int
    members: dict[str, bytes]
    golden: Golden

    @property
    def files(self) -> dict[str, bytes]:
        return self.members | {GOLDEN: _packed(self.golden)}

    def to_json(self) -> dict[str, Any]:
        return {
            "schema_version": 1,
            "kind": KIND,
            "name": self.name,
            "profile": self.profile,
            "runtime": self.runtime,
            "runtime_minimal": self.runtime_minimal,
            "model_digest": self.model_digest,
            "input": asdict(self.input),
            "outputs": [asdict(port) for port in self.outputs],
            "classes": list(self.classes),
            "macs": self.macs,
            "vectors": len(self.golden.inputs),
            "files": digests(self.files),
        }

    def save(self, folder: Path) -> None:
        save_sealed(folder, DESCRIPTION, self.to_json(), self.files)

    @classmethod
    def load(cls, place: Path) -> CompiledModel:
        """From the folder, or from the description in it.

        Raises:
            NotFound: nothing was built there.
            VerificationFailed: a file is not the one that was built.
        """
        value, files = load_sealed(place, DESCRIPTION, KIND)
        try:
            entry, outputs = Port.from_json(value["input"]), tuple(Port.from_json(port) for port in value["outputs"])
            with np.load(io.BytesIO(files.pop(GOLDEN)), allow_pickle=False) as arrays:
                golden = Golden(arrays["inputs"].astype(entry.kind), arrays["outputs"].astype(outputs[0].kind))
            return cls(
                name=str(value["name"]),
                profile=str(value["profile"]),
                runtime=str(value["runtime"]),
                runtime_minimal=str(value["runtime_minimal"]),
                model_digest=str(value["model_digest"]),
                input=entry,
                outputs=outputs,
                classes=tuple(str(name) for name in value["classes"]),
                macs=int(value["macs"]),
                members=files,
                golden=golden,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise broken(place, error) from None


def _packed(golden: Golden) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, inputs=golden.inputs, outputs=golden.outputs)
    return stream.getvalue()
