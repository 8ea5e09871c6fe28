"""`python -m components.quantization.imported.onnx_models.twin.writing MODEL.onnx EXAMPLES.npy OUT.tflite ORDERS.json`.

Builds the twin, holds it against ONNX Runtime, and writes it in int8.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from components.quantization.imported.isolated import ends
from components.quantization.imported.keras_file import in_codes
from components.quantization.imported.onnx_models.checking import checked, entry
from components.quantization.imported.onnx_models.folding import folded
from components.quantization.imported.onnx_models.session import Floats, answers
from components.quantization.imported.onnx_models.twin.network import Twin, transposes, twin
from components.values.imported_onnx import Signal
from components.workspace.errors import InputError
from components.workspace.files import write_bytes, write_json

_COMPARED = 8
_APART = 1e-3
"""Of the largest answer: further apart, a layer is not what it was taken for."""


def main(file: Path, examples: Path, out: Path, orders: Path) -> None:
    data, rows = file.read_bytes(), np.load(examples, allow_pickle=False)
    source = entry(checked(data))
    if source.shape[0] != 1:
        raise InputError(f"a batch of {source.shape[0]}", hint="export it with a batch of 1, or an open one")
    made = twin(folded(data, source), source)
    if count := transposes(made):
        raise InputError(
            f"it mixes channels with space: {count} transposes are left, which have no kernel",
            hint="onnxruntime profiles run it; else reshape over channels or over space, not both, before a matrix product",
        )
    compared = rows[:_COMPARED]
    wanted = answers(data, source, compared)
    apart = float(np.abs(said(made, source, compared) - wanted).max())
    if not apart <= _APART * max(float(np.abs(wanted).max()), 1e-6):
        raise InputError(f"its twin in Keras is {apart:g} off", hint="report this with the model; onnxruntime profiles run it")
    try:
        data = in_codes(made.model, seen(rows, source, made.entry))
    except Exception as error:  # noqa: BLE001 - TensorFlow's converter raises it as it is
        said_there = " ".join(str(error).split())[-200:]
        raise InputError(f"TensorFlow's converter refuses it: {said_there}", hint="onnxruntime profiles run it") from None
    write_bytes(out, data)
    write_json(orders, {"entry": made.entry, "exits": made.exits})


def said(made: Twin, source: Signal, rows: Floats) -> Floats:
    """(rows, size) -> (rows, size of all outputs), both in ONNX's order."""
    answered = []
    for row in seen(rows, source, made.entry):
        found = made.model(row[None], training=False)
        each = found if isinstance(found, list | tuple) else [found]
        answered.append([np.asarray(v).transpose(np.argsort(order)).ravel() for v, order in zip(each, made.exits, strict=True)])
    return np.stack([np.concatenate(values) for values in answered]).astype(np.float32)


def seen(rows: Floats, source: Signal, order: tuple[int, ...]) -> Floats:
    """(rows, size) in ONNX's order -> (rows, ...) in that of the twin's input, without its batch."""
    moved = rows.reshape(-1, *source.shape).transpose(0, *(axis + 1 for axis in order))
    return np.ascontiguousarray(moved.reshape(len(rows), *moved.shape[2:]))


if __name__ == "__main__":
    ends(main)
    sys.exit(0)
