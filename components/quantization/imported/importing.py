"""Take in a model that was trained elsewhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from components.quantization.imported.converting import convert
from components.quantization.imported.examples import example_codes, random_codes, read_examples
from components.quantization.imported.formats import kind_of
from components.quantization.targets.c99.graph import read_graph
from components.quantization.targets.c99.text import identifier
from components.quantization.targets.c99.tflite import read_file
from components.runtime.integers import Graph
from components.values.imported import ImportedModel, Port
from components.workspace.errors import InputError
from components.workspace.files import sha256_file


def import_model(file: Path, name: str, classes: tuple[str, ...] = (), examples: Path | None = None) -> ImportedModel:
    """Read ``file``, check that it can be compiled, and describe it. ``examples``: .npy or .npz, see `example_codes`.

    Raises:
        NotFound, InputError: no such file, a format that is not taken, a damaged file, or an operator without a kernel.
        BackendUnreachable: TensorFlow, which converts a Keras file, is not there.
    """
    kind = kind_of(file)
    values = None if examples is None else read_examples(examples)
    if kind == "keras":
        if values is None:
            raise InputError(f"{file}: a Keras file without examples", hint="give --examples, which set the ranges of its codes")
        data = convert(file, values)
    else:
        data = file.read_bytes()
    graph, described = read_graph(data), read_file(data)
    (entry_name, index), *_ = described.inputs.items()
    entry, outputs = ports(graph, entry_name)
    if values is not None and values.dtype == np.uint8 and described.slots[index].kind == "UINT8":
        values = (values.astype(np.int16) - 128).astype(np.int8)
    _check_classes(classes, outputs)
    return ImportedModel(
        name=name,
        data=data,
        input=entry,
        outputs=outputs,
        operators=dict(sorted(Counter(o.name for o in described.operators).items())),
        macs=graph.macs,
        classes=classes,
        examples=random_codes(entry) if values is None or examples is None else example_codes(values, entry, examples),
        drawn="random" if values is None else "given",
        origin=file.name,
        origin_sha256=sha256_file(file),
    )


def ports(graph: Graph, entry: str) -> tuple[Port, tuple[Port, ...]]:
    """The input, called ``entry``, and the outputs of ``graph``."""
    named = [(entry, graph.input), *graph.outputs.items()]
    made = [Port(name, (t := graph.tensors[index]).shape, t.scale, t.zero) for name, index in named]
    return made[0], tuple(made[1:])


def _check_classes(classes: tuple[str, ...], outputs: tuple[Port, ...]) -> None:
    if not classes:
        return
    sizes = [port.shape[-1] if port.shape else 1 for port in outputs]
    if len(set(classes)) != len(classes) or not all(classes):
        raise InputError(f"--classes {','.join(classes)}: names that are empty or twice there", hint="name each class once")
    if len({identifier(name) for name in classes}) != len(classes):
        raise InputError(
            f"--classes {','.join(classes)}: two have one name in C", hint="let them differ in letters a to z or digits"
        )
    if len(classes) not in sizes:
        raise InputError(f"{len(classes)} classes for outputs of {', '.join(map(str, sizes))} codes", hint="name one a code")
