"""An imported ONNX model as an int8 .tflite, held against the floats that it came from."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.quantization.imported import litert
from components.quantization.imported.importing import in_codes
from components.quantization.imported.isolated import run_isolated
from components.quantization.imported.onnx_models.likeness import likeness
from components.quantization.imported.onnx_models.session import Floats, answers
from components.values.imported import ImportedModel, Port
from components.values.imported_onnx import ImportedOnnx, Signal
from components.workspace.errors import GateFailed
from components.workspace.profiles import Profile

_WRITING = "components.quantization.imported.onnx_models.twin.writing"
_MOST_ROWS = 128


def as_tflite(model: ImportedOnnx, profile: Profile) -> ImportedModel:
    """With the channels of its input and outputs last, and the examples in that order.

    Raises:
        InputError: an operator that the twin has no layer for, or TensorFlow's converter refuses it.
        GateFailed: in int8 it does not keep the promises of ``profile`` on the examples.
        BackendUnreachable: TensorFlow is not there.
    """
    with tempfile.TemporaryDirectory() as name:
        source, examples, made, orders = (Path(name) / n for n in ("model.onnx", "examples.npy", "model.tflite", "orders.json"))
        source.write_bytes(model.data)
        np.save(examples, model.examples, allow_pickle=False)
        run_isolated(_WRITING, source, examples, made, orders, about=model.name)
        found = json.loads(orders.read_bytes())
        rows = model.examples.reshape(-1, *model.input.shape).transpose(0, *(axis + 1 for axis in found["entry"]))
        taken = in_codes(made.read_bytes(), source, model.name, model.classes, rows.astype(np.float32))
    taken = replace(
        taken,
        input=_named(taken.input, model.input, found["entry"]),
        outputs=tuple(_named(*three) for three in zip(taken.outputs, model.outputs, found["exits"], strict=True)),
        origin=model.origin,
        origin_sha256=model.origin_sha256,
    )
    _check(model, taken, found["exits"], profile)
    return taken


def _named(port: Port, told: Signal, order: list[int]) -> Port:
    """``port`` by the name and with the axes of the ONNX model; the .tflite may have more of size 1."""
    return replace(port, name=told.name, shape=tuple(told.shape[axis] for axis in order))


def _check(model: ImportedOnnx, taken: ImportedModel, exits: list[list[int]], profile: Profile) -> None:
    kept = np.linspace(0, len(model.examples) - 1, min(len(model.examples), _MOST_ROWS)).astype(int)
    got = _in_onnx_order(taken, litert.answers(taken.data, taken.examples[kept], taken.input, taken.outputs), exits)
    like = likeness(model, got, answers(model.data, model.input, model.examples[kept]))
    if broken := like.broken(profile.numeric):
        raise GateFailed(
            f"profile '{profile.name}': {model.name} in int8: {broken}",
            hint="give examples that cover what the model meets, train it for int8, or loosen numeric",
        )


def _in_onnx_order(taken: ImportedModel, codes: NDArray[np.int8], exits: list[list[int]]) -> Floats:
    """(rows, size of all outputs) codes -> values as the ONNX model orders them."""
    found, at = [], 0
    for port, order in zip(taken.outputs, exits, strict=True):
        size = int(np.prod(port.shape))
        values = (codes[:, at : at + size].astype(np.float32) - port.zero) * np.float32(port.scale)
        placed = values.reshape(-1, *port.shape).transpose(0, *(1 + int(i) for i in np.argsort(order)))
        found.append(placed.reshape(len(codes), -1))
        at += size
    return np.concatenate(found, axis=1)
