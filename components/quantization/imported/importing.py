"""Take in a model that was trained elsewhere."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.imported.classes import check_classes
from components.quantization.imported.converting import convert
from components.quantization.imported.examples import example_codes, random_codes, read_examples
from components.quantization.imported.exported_programs.exporting import as_onnx
from components.quantization.imported.formats import kind_of
from components.quantization.imported.onnx_models.importing import import_onnx
from components.quantization.targets.c99.graph import read_graph
from components.quantization.targets.c99.tflite import read_file
from components.runtime.integers import Graph
from components.values.imported import ImportedModel, Port
from components.values.imported_onnx import ImportedOnnx
from components.workspace.errors import InputError
from components.workspace.files import sha256_file

_CALLED = {"keras": "a Keras file", "onnx": "an ONNX file", "pt2": "an exported program"}


def import_model(
    file: Path, name: str, classes: tuple[str, ...] = (), examples: Path | None = None
) -> ImportedModel | ImportedOnnx:
    """Read ``file``, check that it can be compiled, and describe it. ``examples``: .npy or .npz, see `example_codes`.

    Raises:
        NotFound, InputError: no such file, a format that is not taken, a damaged file, or an operator without a kernel.
        BackendUnreachable: what reads or converts the file, such as TensorFlow, is not there.
    """
    kind = kind_of(file)
    values = None if examples is None else read_examples(examples)
    if kind == "tflite":
        return in_codes(file.read_bytes(), file, name, classes, values)
    if values is None:
        raise InputError(f"{file}: {_CALLED[kind]} without examples", hint="give --examples, which set the ranges of its codes")
    if kind == "keras":
        if not np.isfinite(values).all():
            raise InputError("the examples hold values that are no numbers", hint="leave such rows out")
        return in_codes(convert(file, values), file, name, classes, values)
    if kind == "onnx":
        return import_onnx(file, file, name, classes, values)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "program.onnx"
        as_onnx(file, made)
        return import_onnx(made, file, name, classes, values)


def in_codes(data: bytes, origin: Path, name: str, classes: tuple[str, ...], values: NDArray[Any] | None) -> ImportedModel:
    """The int8 or int16x8 .tflite in ``data``, made of ``origin``, with codes of ``values`` or random ones.

    Raises:
        InputError: it is damaged, needs an operator without a kernel, or has another size than ``values`` or ``classes``.
    """
    graph, described = read_graph(data), read_file(data)
    (entry_name, index), *_ = described.inputs.items()
    entry, outputs = ports(graph, entry_name)
    if values is not None and values.dtype == np.uint8 and described.slots[index].kind == "UINT8":
        values = (values.astype(np.int16) - 128).astype(np.int8)
    check_classes(classes, [port.shape[-1] if port.shape else 1 for port in outputs])
    return ImportedModel(
        name=name,
        data=data,
        input=entry,
        outputs=outputs,
        operators=dict(sorted(Counter(o.name for o in described.operators).items())),
        macs=graph.macs,
        classes=classes,
        examples=random_codes(entry) if values is None else example_codes(values, entry),
        drawn="random" if values is None else "given",
        origin=origin.name,
        origin_sha256=sha256_file(origin),
    )


def ports(graph: Graph, entry: str) -> tuple[Port, tuple[Port, ...]]:
    """The input, called ``entry``, and the outputs of ``graph``."""
    named = [(entry, graph.input), *graph.outputs.items()]
    made = [Port(name, (t := graph.tensors[index]).shape, t.scale, t.zero, t.bits) for name, index in named]
    return made[0], tuple(made[1:])
