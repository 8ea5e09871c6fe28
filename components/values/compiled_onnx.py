"""An imported ONNX model written for one hardware profile, with golden vectors in floats."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.values.built import DESCRIPTION, Built
from components.values.imported_onnx import MODEL, Signal
from components.values.sealed import broken, digests, load_sealed, packed, save_sealed, unpacked

KIND = "compiled-onnx"
_INPUTS, _OUTPUTS, _WANTED = "golden_inputs.npy", "golden_outputs.npy", "golden_wanted.npy"


@dataclass(frozen=True)
class FloatGolden:
    """``inputs``: (vectors, size); ``outputs``, ``wanted``: (vectors, size of all outputs), of the artefact and of the model that
    was imported; float32.
    """

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    wanted: NDArray[np.float32]


@dataclass(frozen=True)
class CompiledOnnx(Built):
    """``recipe``: the one that was chosen; ``tried``: all of them, and why the others lost (`recipes.tried`). They stand
    beside the artefact, not in it, as they hold latencies that no two builds measure alike; one that is loaded has none.

    ``tolerances``: by how much each output may differ from the golden one on another machine.
    """

    name: str
    profile: str
    runtime: str
    runtime_minimal: str
    model_digest: str
    input: Signal
    outputs: tuple[Signal, ...]
    classes: tuple[str, ...]
    macs: int
    recipe: str
    tried: tuple[dict[str, Any], ...]
    tolerances: tuple[float, ...]
    data: bytes
    golden: FloatGolden

    @property
    def members(self) -> dict[str, bytes]:
        return {MODEL: self.data}

    @property
    def files(self) -> dict[str, bytes]:
        golden = self.golden
        arrays = {_INPUTS: golden.inputs, _OUTPUTS: golden.outputs, _WANTED: golden.wanted}
        return self.members | {name: packed(array) for name, array in arrays.items()}

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
            "recipe": self.recipe,
            "tolerances": list(self.tolerances),
            "vectors": len(self.golden.inputs),
            "files": digests(self.files),
        }

    def save(self, folder: Path) -> None:
        recipes = {"schema_version": 1, "chosen": self.recipe, "tried": list(self.tried)}
        told = (json.dumps(recipes, indent=2, sort_keys=True) + "\n").encode()
        save_sealed(folder, DESCRIPTION, self.to_json(), self.files | {f"{self.profile}.recipes.json": told})

    @classmethod
    def load(cls, place: Path) -> CompiledOnnx:
        """From the folder, or from the description in it.

        Raises:
            NotFound: nothing was built there.
            VerificationFailed: a file is not the one that was built.
        """
        value, files = load_sealed(place, DESCRIPTION, KIND)
        try:
            return cls(
                name=str(value["name"]),
                profile=str(value["profile"]),
                runtime=str(value["runtime"]),
                runtime_minimal=str(value["runtime_minimal"]),
                model_digest=str(value["model_digest"]),
                input=Signal.from_json(value["input"]),
                outputs=tuple(Signal.from_json(port) for port in value["outputs"]),
                classes=tuple(str(name) for name in value["classes"]),
                macs=int(value["macs"]),
                recipe=str(value["recipe"]),
                tried=(),
                tolerances=tuple(float(t) for t in value["tolerances"]),
                data=files[MODEL],
                golden=FloatGolden(*(unpacked(files[name]) for name in (_INPUTS, _OUTPUTS, _WANTED))),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise broken(place, error) from None
