"""`golden_vectors.json` of an imported model: numbers in and numbers out, in a form that any language reads."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.imported.loading import AnyBuilt

MOST_NUMBERS = 1 << 18
"""In the file, about a megabyte; the artefact holds all vectors, as numpy writes them."""


def chosen_vectors(made: AnyBuilt) -> NDArray[np.int64]:
    """Positions of those that are written out: evenly spread, first and last among them, at least two."""
    inputs, outputs = made.golden.inputs, made.golden.outputs
    most = max(2, MOST_NUMBERS // (inputs.shape[1] + outputs.shape[1]))
    return np.linspace(0, len(inputs) - 1, min(len(inputs), most)).astype(np.int64)


def golden_numbers(made: AnyBuilt) -> bytes:
    """Each vector: the input and the outputs one after the other; null is a number that is missing."""
    chosen = chosen_vectors(made)
    inputs, outputs = made.golden.inputs[chosen], made.golden.outputs[chosen]
    vectors = [{"input": _numbers(i), "output": _numbers(o)} for i, o in zip(inputs, outputs, strict=True)]
    value = {"schema_version": 1, "artefact_sha256": made.sha256, "vectors": vectors}
    return (json.dumps(value, sort_keys=True, allow_nan=False) + "\n").encode()


def _numbers(row: NDArray[Any]) -> list[float | int | None]:
    """Shortest decimal numbers that are read back as the same ones."""
    if row.dtype.kind == "i":
        return [int(number) for number in row]
    return [None if np.isnan(number) else float(str(number)) for number in row]
