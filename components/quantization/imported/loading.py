"""Load what was built of an imported model, of whatever kind it is."""

from __future__ import annotations

from pathlib import Path

from components.values import compiled_onnx, compiled_trees
from components.values.built import DESCRIPTION
from components.values.compiled import CompiledModel
from components.values.compiled_onnx import CompiledOnnx
from components.values.compiled_trees import CompiledTrees
from components.values.sealed import kind_in

AnyBuilt = CompiledModel | CompiledOnnx | CompiledTrees


def load_built(place: Path) -> AnyBuilt:
    """From the folder, or from the description in it.

    Raises:
        NotFound: nothing was built there.
        VerificationFailed: a file is not the one that was built.
    """
    kind = kind_in(place, DESCRIPTION)
    if kind == compiled_trees.KIND:
        return CompiledTrees.load(place)
    return CompiledOnnx.load(place) if kind == compiled_onnx.KIND else CompiledModel.load(place)
