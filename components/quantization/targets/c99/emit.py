"""Write the C99 sources of an artefact: fixed kernels and pipeline, with the tables of one model between them."""

from __future__ import annotations

import re
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.targets.c99.arena import Arena, plan
from components.quantization.targets.c99.graph import Graph, Layer, Operation, Sum
from components.runtime.scoring import LOG2_TABLE, Scoring
from components.values import Artefact
from components.values.artefact import SelfTest
from components.workspace.errors import InputError

INTERFACE = "1.0"
"""Version of what `model.h` declares: the major number changes when a caller has to."""

_NUMBERS_A_LINE = 20


def sources(artefact: Artefact, graph: Graph) -> dict[str, bytes]:
    """`model.h`, `model.c`, `model_selftest.c` and the example `main.c`."""
    _check(artefact)
    heads = {n.removeprefix("logits."): i for n, i in graph.outputs.items() if n.startswith("logits.")}
    texts = {
        "model.h": _header(artefact, plan(graph), tuple(heads)),
        "model.c": _model(artefact, graph, heads),
        "model_selftest.c": _self_test(artefact, tuple(heads)),
        "main.c": kernel("main.c"),
    }
    return {name: text.encode() for name, text in texts.items()}


def kernel(name: str) -> str:
    """A C text that ships with this package."""
    return (files("components.quantization.targets.c99") / "kernels" / name).read_text(encoding="utf-8")


def _header(artefact: Artefact, arena: Arena, heads: tuple[str, ...]) -> str:
    channels = zip(artefact.channels, artefact.converter.lsb, artefact.converter.offset, strict=True)
    return Template(kernel("model.h")).substitute(
        title=_title(artefact),
        arena=arena.size,
        interface=INTERFACE,
        digest=artefact.model_digest,
        steps=artefact.steps,
        channels=len(artefact.channels),
        tasks=len(heads),
        calibration_steps=artefact.calibration.steps,
        threshold=artefact.scoring.threshold,
        vectors=len(artefact.self_test.raw),
        channel_list="\n".join(f"   {name}: lsb {lsb:.9g}, offset {offset:.9g}" for name, lsb, offset in channels),
        class_list="".join(_enumeration(i, task, artefact.tasks[task]) for i, task in enumerate(heads)),
        raise_after=artefact.scoring.raise_after,
        clear_after=artefact.scoring.clear_after,
    )


def _enumeration(position: int, task: str, classes: tuple[str, ...]) -> str:
    names = [f"MODEL_{_identifier(task)}_{_identifier(name)}" for name in classes]
    return f"/* classes[{position}] */\nenum {{ {', '.join(names)} }};\n\n"


def _model(artefact: Artefact, graph: Graph, heads: dict[str, int]) -> str:
    arena = plan(graph)
    places = {"INPUT": graph.input, "CORRECTION": graph.outputs["correction"], "EMBEDDING": graph.outputs["embedding"]}
    picks = [
        f"    result->classes[{i}] = largest(arena.bytes + {arena.offsets[t]}, {graph.tensors[t].channels});\n"
        for i, t in enumerate(heads.values())
    ]
    pipeline = Template(kernel("pipeline.c")).substitute(largest=kernel("largest.c") if picks else "", classes="".join(picks))
    parts = [
        f'/* {_title(artefact)}. Made by Muster; do not edit. */\n#include "model.h"\n\n#include <string.h>\n\n'
        "#if defined(__ARM_FEATURE_DSP)\n#include <arm_acle.h>\n#endif\n",
        *(kernel(name) for name in _kernels(graph)),
        *(_table(i, operation, graph) for i, operation in enumerate(graph.operations)),
        _storage(arena, places),
        _network(graph, arena),
        _score_tables(artefact),
        pipeline,
    ]
    return "\n".join(parts)


def _storage(arena: Arena, places: dict[str, int]) -> str:
    names = "".join(f"#define {name} (arena.bytes + {arena.offsets[tensor]})\n" for name, tensor in places.items())
    union = f"static union {{\n    int8_t bytes[{arena.size}];\n    uint32_t words[1];\n}} arena;\n"
    return f"/* A union, so that the bytes are aligned to words. */\n{union}{names}"


def _kernels(graph: Graph) -> list[str]:
    layers = [o for o in graph.operations if isinstance(o, Layer)]
    used = {
        "arithmetic.c": True,
        "convolution.c": any(not layer.depthwise for layer in layers),
        "depthwise.c": any(layer.depthwise for layer in layers),
        "addition.c": any(isinstance(o, Sum) for o in graph.operations),
    }
    return [name for name, wanted in used.items() if wanted]


def _table(number: int, operation: Operation, graph: Graph) -> str:
    if isinstance(operation, Sum):
        factors = (*operation.factors, operation.factor)
        fields = (
            graph.tensors[operation.target].size,
            _braced(f.value for f in factors),
            _braced(f.shift for f in factors),
            _braced((*operation.zeros, operation.out_zero)),
            operation.low,
            operation.high,
        )
        return f"static const addition S{number} = {_braced(fields)};\n"
    x, y = graph.tensors[operation.source], graph.tensors[operation.target]
    shape = (x.steps, x.channels, y.steps, y.channels, operation.kernel, operation.before)
    values = (*shape, operation.in_zero, operation.out_zero, operation.low, operation.high)
    return (
        _array(f"W{number}", "int8_t", operation.weights.ravel())
        + _array(f"B{number}", "int32_t", operation.bias)
        + _array(f"M{number}", "int32_t", [m.value for m in operation.multipliers])
        + _array(f"R{number}", "int8_t", [m.shift for m in operation.multipliers])
        + f"static const layer L{number} = {{W{number}, B{number}, M{number}, R{number}, {', '.join(map(str, values))}}};\n"
    )


def _network(graph: Graph, arena: Arena) -> str:
    def at(tensor: int) -> str:
        return f"arena.bytes + {arena.offsets[tensor]}"

    calls = []
    for i, operation in enumerate(graph.operations):
        if isinstance(operation, Sum):
            calls.append(f"    add(&S{i}, {at(operation.sources[0])}, {at(operation.sources[1])}, {at(operation.target)});\n")
        else:
            name = "depthwise" if operation.depthwise else "convolution"
            calls.append(f"    {name}(&L{i}, {at(operation.source)}, {at(operation.target)});\n")
    return f"static void network(void)\n{{\n{''.join(calls)}}}\n"


def _score_tables(artefact: Artefact) -> str:
    scoring, calibration = artefact.scoring, artefact.calibration
    constants = {
        "KNOTS": len(scoring.knots),
        "RESIDUAL_INPUT": scoring.residual_input,
        "RESIDUAL_OUTPUT": scoring.residual_output,
        "CORRECTION_ZERO": f"({scoring.correction_zero})",
        "MIX_RESIDUAL": scoring.mix[0],
        "MIX_DISTANCE": scoring.mix[1],
        "RAISE_AFTER": scoring.raise_after,
        "CLEAR_AFTER": scoring.clear_after,
    }
    parts = [
        _defines(constants),
        _array("FALLBACK_CENTER", "int32_t", calibration.fallback.center),
        _array("FALLBACK_MULTIPLIER", "int32_t", calibration.fallback.multiplier),
        _array("CHANNEL_WEIGHT", "int32_t", scoring.channel_weight),
        _array("KNOT", "int32_t", scoring.knots),
        _array("LOG2_TABLE", "uint8_t", LOG2_TABLE),
    ]
    if calibration.steps:
        parts += [
            _defines({"GAIN": f"UINT32_C({calibration.gain})"}),
            _array("MIN_DEVIATION", "uint32_t", calibration.min_deviation),
        ]
    if scoring.mix[1] > 0:
        parts += _distance_tables(scoring)
    return "".join(parts)


def _distance_tables(scoring: Scoring) -> list[str]:
    constants = {
        "WIDTH": len(scoring.embedding_mean),
        "EMBEDDING_ZERO": f"({scoring.embedding_zero})",
        "WHITENING_SHIFT": scoring.whitening_shift,
    }
    return [
        _defines(constants),
        _array("EMBEDDING_MEAN", "int32_t", scoring.embedding_mean),
        _array("WHITENING", "int16_t", scoring.whitening),
    ]


def _defines(constants: dict[str, object]) -> str:
    return "".join(f"#define {name} {value}\n" for name, value in constants.items())


def _self_test(artefact: Artefact, heads: tuple[str, ...]) -> str:
    test: SelfTest = artefact.self_test
    tables = [
        _array("CENTER", "int32_t", test.scaling.center),
        _array("MULTIPLIER", "int32_t", test.scaling.multiplier),
        _array("RAW", "int16_t", test.raw),
        _array("SURPRISE", "int32_t", test.surprise),
    ]
    if heads:
        tables.append(_array("CLASSES", "int8_t", np.stack([test.classes[task] for task in heads], axis=1)))
    return Template(kernel("model_selftest.c")).substitute(title=_title(artefact), tables="\n".join(tables))


def _array(name: str, kind: str, values: Any) -> str:
    data: NDArray[Any] = np.asarray(values)
    sizes = "".join(f"[{n}]" for n in data.shape)
    return f"static const {kind} {name}{sizes} = {_nested(data)};\n"


def _nested(data: NDArray[Any]) -> str:
    if data.ndim > 1:
        return "{" + ",\n".join(_nested(row) for row in data) + "}"
    numbers = [str(int(v)) for v in data]
    lines = [", ".join(numbers[i : i + _NUMBERS_A_LINE]) for i in range(0, len(numbers), _NUMBERS_A_LINE)]
    return "{" + ",\n ".join(lines) + "}"


def _braced(values: Any) -> str:
    return "{" + ", ".join(str(v) for v in values) + "}"


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name).upper()


def _title(artefact: Artefact) -> str:
    return re.sub(r"[^\w .-]", "_", f"{artefact.name} for {artefact.profile}")


def _check(artefact: Artefact) -> None:
    """Integers that the C code takes for 32 bits, or 16, must fit."""
    scoring: Scoring = artefact.scoring
    fits = {
        "input scale": 128 * scoring.residual_input < 2**30,
        "correction scale": 255 * scoring.residual_output < 2**30,
        "calibration gain": artefact.calibration.gain < 2**32,
        "whitening": all(abs(v) < 2**15 for row in scoring.whitening for v in row),
        "scaling": all(abs(v) < 2**31 for v in artefact.calibration.fallback.multiplier),
    }
    if broken := [name for name, fit in fits.items() if not fit]:
        raise InputError(
            f"{artefact.profile}: {', '.join(broken)} too large for the C interface", hint="raise windows.clip or min deviations"
        )
