"""The C sources of a network with bare tensors at its ends: codes in, codes out."""

from __future__ import annotations

import re
from string import Template

from components.quantization.targets.c99.arena import plan
from components.quantization.targets.c99.emit import INTERFACE
from components.quantization.targets.c99.operations import graph_code, place_of
from components.quantization.targets.c99.text import array, defines, identifier, kernel
from components.runtime.fixed_point import quantize_multiplier
from components.runtime.integers import Codes, Graph, Tensor
from components.workspace.errors import InputError


def tensor_sources(
    graph: Graph, name: str, digest: str, inputs: Codes, outputs: Codes, classes: tuple[str, ...] = ()
) -> dict[str, bytes]:
    """`model.h`, `model.c`, `model_selftest.c` and the example `main.c`.

    ``inputs``, ``outputs``: (vectors, size) of the self-test, the outputs of the graph one after the other.

    Raises:
        InputError: outputs of different widths.
    """
    entry, exits = graph.tensors[graph.input], [graph.tensors[t] for t in graph.outputs.values()]
    if len({t.bits for t in exits}) > 1:
        raise InputError("outputs of 8 and of 16 bits", hint="quantize all outputs of the model alike")
    title = _harmless(name)
    arena = plan(graph, keep_input=False)
    body = graph_code(graph, arena, {"INPUT": graph.input})
    copies = "".join(
        f"    memcpy(output + MODEL_OUTPUT{i}_AT, {place_of(graph.tensors[t], arena.offsets[t])}, "
        f"MODEL_OUTPUT{i}_SIZE * sizeof *output);\n"
        for i, t in enumerate(graph.outputs.values())
    )
    texts = {
        "model.h": Template(kernel("tensors.h")).substitute(
            title=title,
            interface=INTERFACE,
            digest=digest,
            arena=arena.size,
            macs=graph.macs,
            vectors=len(inputs),
            ports=_ports(graph),
            codes=f"int{entry.bits}" if entry.bits == exits[0].bits else f"int{entry.bits}, outputs of int{exits[0].bits},",
            input=f"int{entry.bits}_t",
            output=f"int{exits[0].bits}_t",
            classes=_classes(classes),
        ),
        "model.c": f'/* {title}. Made by Muster; do not edit. */\n#include "model.h"\n\n#include <string.h>\n\n{body}\n'
        + Template(kernel("tensors_run.c")).substitute(outputs=copies),
        "model_selftest.c": Template(kernel("tensors_selftest.c")).substitute(
            title=title, tables=array("INPUTS", "model_in", inputs) + array("OUTPUTS", "model_out", outputs)
        ),
        "main.c": kernel("tensors_main.c"),
    }
    return {file: text.encode() for file, text in texts.items()}


def _ports(graph: Graph) -> str:
    tensors = [graph.tensors[index] for index in graph.outputs.values()]
    parts = [_port("MODEL_INPUT", "input", graph.tensors[graph.input])]
    at = 0
    for i, (name, tensor) in enumerate(zip(graph.outputs, tensors, strict=True)):
        parts.append(_port(f"MODEL_OUTPUT{i}", f"output {_harmless(name)}", tensor, at))
        at += tensor.size
    return "\n".join([*parts, defines({"MODEL_OUTPUTS": len(tensors), "MODEL_OUTPUT_SIZE": at})])


def _port(macro: str, what: str, tensor: Tensor, at: int | None = None) -> str:
    scale = quantize_multiplier(tensor.scale)
    shape = " x ".join(map(str, tensor.shape)) or "1"
    fields = {
        f"{macro}_SIZE": tensor.size,
        f"{macro}_ZERO": f"({tensor.zero})",
        f"{macro}_MANTISSA": scale.value,
        f"{macro}_EXPONENT": f"({scale.shift})",
    } | ({} if at is None else {f"{macro}_AT": at})
    return f"/* {what}: {shape}, scale {tensor.scale:.9g} */\n{defines(fields)}"


def _classes(classes: tuple[str, ...]) -> str:
    if not classes:
        return ""
    members = ", ".join(f"MODEL_CLASS_{identifier(name)} = {i}" for i, name in enumerate(classes))
    return f"/* Places in the output. */\nenum {{ {members} }};\n\n"


def _harmless(name: str) -> str:
    """``name`` inside a comment."""
    return re.sub(r"[^\w .:/-]", "_", name)
