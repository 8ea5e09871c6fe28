"""An imported model compiled for one hardware profile: files of its runtime, and golden vectors."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.values.imported import Port
from components.workspace.errors import NotFound, VerificationFailed
from components.workspace.files import new_folder, sha256_bytes, sha256_json, write_bytes, write_json

DESCRIPTION, GOLDEN = "artefact.json", "golden.npz"


@dataclass(frozen=True)
class Golden:
    """``inputs``, ``outputs``: (vectors, size) int8 codes, the outputs of a model one after the other."""

    inputs: NDArray[np.int8]
    outputs: NDArray[np.int8]


@dataclass(frozen=True)
class CompiledModel:
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
    def sha256(self) -> str:
        return sha256_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        files = self.members | {GOLDEN: _packed(self.golden)}
        return {
            "schema_version": 1,
            "kind": "imported",
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
            "files": {name: {"sha256": sha256_bytes(data), "bytes": len(data)} for name, data in sorted(files.items())},
        }

    def save(self, folder: Path) -> None:
        with new_folder(folder) as beside:
            for name, data in (self.members | {GOLDEN: _packed(self.golden)}).items():
                write_bytes(beside / name, data)
            write_json(beside / DESCRIPTION, self.to_json())

    @classmethod
    def load(cls, place: Path) -> CompiledModel:
        """From the folder, or from the description in it.

        Raises:
            NotFound: nothing was built there.
            VerificationFailed: a file is not the one that was built.
        """
        folder = place.parent if place.name == DESCRIPTION else place
        if not (folder / DESCRIPTION).is_file():
            raise NotFound(f"no {DESCRIPTION} in {folder}", hint="muster artefact build writes one; name its --out folder")
        try:
            value = json.loads((folder / DESCRIPTION).read_bytes())
            files = {name: _checked(folder, name, about["sha256"]) for name, about in value["files"].items()}
            with np.load(io.BytesIO(files.pop(GOLDEN)), allow_pickle=False) as arrays:
                golden = Golden(arrays["inputs"].astype(np.int8), arrays["outputs"].astype(np.int8))
            return cls(
                name=str(value["name"]),
                profile=str(value["profile"]),
                runtime=str(value["runtime"]),
                runtime_minimal=str(value["runtime_minimal"]),
                model_digest=str(value["model_digest"]),
                input=Port.from_json(value["input"]),
                outputs=tuple(Port.from_json(port) for port in value["outputs"]),
                classes=tuple(str(name) for name in value["classes"]),
                macs=int(value["macs"]),
                members=files,
                golden=golden,
            )
        except (KeyError, TypeError, ValueError, AttributeError, FileNotFoundError) as error:
            raise VerificationFailed(
                f"{folder} holds no whole artefact: {type(error).__name__}: {error}", hint="build it again"
            ) from None


def _checked(folder: Path, name: str, digest: str) -> bytes:
    if Path(name).name != name:
        raise VerificationFailed(f"{folder}: file '{name}' has a path", hint="build it again")
    data = (folder / name).read_bytes()
    if sha256_bytes(data) != digest:
        raise VerificationFailed(f"{folder / name} was changed since it was built", hint="build it again")
    return data


def _packed(golden: Golden) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, inputs=golden.inputs, outputs=golden.outputs)
    return stream.getvalue()
