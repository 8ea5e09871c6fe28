"""Imported boosted trees compiled for one hardware profile: files of its runtime, and golden rows."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.ensemble import Kind
from components.runtime.sampling import Sampling
from components.values.built import DESCRIPTION, Built
from components.values.compiled import GOLDEN
from components.values.sealed import digests, load_sealed, save_sealed
from components.workspace.errors import VerificationFailed

KIND = "compiled-trees"


@dataclass(frozen=True)
class GoldenRows:
    """``inputs``: (rows, features) int16 or int32 samples of C, float32 numbers of ONNX Runtime. ``outputs``: (rows, outputs)
    int32 or float32 margins that must come out. ``trained``: (rows, outputs) float64 margins of the imported model on the same
    rows, before their numbers became samples.
    """

    inputs: NDArray[Any]
    outputs: NDArray[Any]
    trained: NDArray[np.float64]


@dataclass(frozen=True)
class CompiledTrees(Built):
    """``members``: file name -> bytes of the runtime. ``bits``: its margins are in 2^-bits of the trained model's.

    ``features``: their names, empty where the model has none. ``sampling``: what a sample of C stands for; None of floats.
    """

    name: str
    profile: str
    runtime: str
    runtime_minimal: str
    model_digest: str
    tree_kind: Kind
    classes: tuple[str, ...]
    bits: int
    members: dict[str, bytes]
    golden: GoldenRows
    features: tuple[str, ...] = ()
    sampling: Sampling | None = None

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
            "tree_kind": self.tree_kind,
            "classes": list(self.classes),
            "bits": self.bits,
            "features": list(self.features),
            "sampling": None if self.sampling is None else self.sampling.to_json(),
            "vectors": len(self.golden.inputs),
            "files": digests(self.files),
        }

    def save(self, folder: Path) -> None:
        save_sealed(folder, DESCRIPTION, self.to_json(), self.files)

    @classmethod
    def load(cls, place: Path) -> CompiledTrees:
        """From the folder, or from the description in it.

        Raises:
            NotFound: nothing was built there.
            VerificationFailed: a file is not the one that was built.
        """
        value, files = load_sealed(place, DESCRIPTION, KIND)
        try:
            with np.load(io.BytesIO(files.pop(GOLDEN)), allow_pickle=False) as arrays:
                golden = GoldenRows(arrays["inputs"], arrays["outputs"], arrays["trained"])
            return cls(
                name=str(value["name"]),
                profile=str(value["profile"]),
                runtime=str(value["runtime"]),
                runtime_minimal=str(value["runtime_minimal"]),
                model_digest=str(value["model_digest"]),
                tree_kind=value["tree_kind"],
                classes=tuple(map(str, value["classes"])),
                bits=int(value["bits"]),
                members=files,
                golden=golden,
                features=tuple(map(str, value["features"])),
                sampling=None if value["sampling"] is None else Sampling.from_json(value["sampling"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise VerificationFailed(
                f"{place} holds no whole artefact: {type(error).__name__}: {error}", hint="build it again"
            ) from None


def _packed(golden: GoldenRows) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, inputs=golden.inputs, outputs=golden.outputs, trained=golden.trained)
    return stream.getvalue()
