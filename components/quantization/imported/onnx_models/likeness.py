"""How near the answers of one way of writing a model are to those of the model itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from components.quantization.imported.onnx_models.session import Floats
from components.quantization.recipes.fidelity import Fidelity
from components.values.imported_onnx import ImportedOnnx, Signal

_TINY = 1e-12


def likeness(model: ImportedOnnx, found: Floats, wanted: Floats) -> Fidelity:
    """``found``, ``wanted``: (rows, size of all outputs). The classes count by agreement, other outputs by how far they move."""
    noises, shifts = [], [0.0]
    for port, got, want in parts(model.outputs, found, wanted):
        error = float(((got - want) ** 2).mean(dtype=np.float64))
        noises.append(error / max(float(want.var(dtype=np.float64)), _TINY))
        if not names_classes(port, model.classes):
            shifts.append(error**0.5 / max(float(want.max() - want.min()), _TINY))
    agreed = agreement(model.outputs, model.classes, found, wanted)
    return Fidelity(float(np.mean(noises)), 1.0 if agreed is None else agreed, None, max(shifts))


def agreement(outputs: Sequence[Signal], classes: Sequence[str], found: Floats, wanted: Floats) -> float | None:
    """Share of rows with the same class, None for a model without classes."""
    for port, got, want in parts(outputs, found, wanted):
        if names_classes(port, classes):
            return float((got.argmax(axis=1) == want.argmax(axis=1)).mean())
    return None


def parts(outputs: Sequence[Signal], *rows: Floats) -> Iterator[tuple[Signal, Floats, Floats]]:
    """Each output with its columns of both ``rows``."""
    at = 0
    for port in outputs:
        first, second = (r[:, at : at + port.size] for r in rows)
        yield port, first, second
        at += port.size


def names_classes(port: Signal, classes: Sequence[str]) -> bool:
    return bool(classes) and port.size == len(classes)
