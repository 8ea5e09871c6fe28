"""The C of a network: its kernels, its tables, and the score of its outputs."""

from __future__ import annotations

from string import Template

from components.quantization.targets.c99.arena import Arena, plan
from components.quantization.targets.c99.emit import Body, gauge_tables
from components.quantization.targets.c99.text import array, braced, defines, kernel
from components.quantization.targets.c99.wide import wide_code, wide_memory
from components.runtime.integers import Graph, Layer, Operation, Sum
from components.runtime.presence import ABSENT
from components.runtime.scoring import Scoring
from components.workspace.errors import InputError


def network_body(scoring: Scoring, graph: Graph, optional: tuple[int, ...] = ()) -> Body:
    """What `model.c` needs beyond sensor and alarm to run ``graph``. ``optional``: the channels that devices may lack.

    Raises:
        InputError: an integer of the score does not fit the 32 or 16 bits that the C code takes it for.
    """
    _check(scoring)
    arena = plan(graph)
    heads, numbers = _outputs(graph, "logits."), _outputs(graph, "number.")
    places = {"INPUT": graph.input, "CORRECTION": graph.outputs["correction"], "EMBEDDING": graph.outputs["embedding"]}
    shape = len(scoring.channel_weight), graph.tensors[graph.input].steps
    reads = [
        f"    result->values[{i}] = value_of(&GAUGE[{i}], arena.bytes[{arena.offsets[t]}]);\n"
        for i, t in enumerate(numbers.values())
    ]
    pipeline = Template(kernel("pipeline.c")).substitute(
        largest=kernel("largest.c") if set(heads) - set(scoring.wide) else "",
        wide=wide_code(scoring.wide, *shape) if scoring.wide else "",
        gauge=gauge_tables(scoring, tuple(numbers)) if reads else "",
        classes=_picks(scoring, graph, arena, heads),
        values="".join(reads),
    )
    parts = [
        "#if defined(__ARM_FEATURE_DSP)\n#include <arm_acle.h>\n#endif\n",
        *(kernel(name) for name in _kernels(graph)),
        *(_table(i, operation, graph) for i, operation in enumerate(graph.operations)),
        _storage(arena, places),
        _network(graph, arena),
        _input_tables(optional),
        _score_tables(scoring),
        pipeline,
    ]
    memory = wide_memory(*shape) if scoring.wide else 0
    return Body(arena.size + memory, tuple(heads), "\n".join(parts), tuple(numbers))


def _picks(scoring: Scoring, graph: Graph, arena: Arena, heads: dict[str, int]) -> str:
    """One line a task: the class that the network decides, alone or with its wide part."""
    beside = list(scoring.wide)
    lines = ["read_features(state, raw);"] if beside else []
    for i, (task, tensor) in enumerate(heads.items()):
        logits = f"arena.bytes + {arena.offsets[tensor]}"
        both = f"decided(&WIDE_{beside.index(task)}, {logits})" if task in beside else ""
        lines.append(f"result->classes[{i}] = {both or f'largest({logits}, {graph.tensors[tensor].channels})'};")
    return "".join(f"    {line}\n" for line in lines)


def _outputs(graph: Graph, kind: str) -> dict[str, int]:
    """Task -> tensor of the outputs whose name begins with ``kind``."""
    return {name.removeprefix(kind): tensor for name, tensor in graph.outputs.items() if name.startswith(kind)}


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
            braced(f.value for f in factors),
            braced(f.shift for f in factors),
            braced((*operation.zeros, operation.out_zero)),
            operation.low,
            operation.high,
        )
        return f"static const addition S{number} = {braced(fields)};\n"
    x, y = graph.tensors[operation.source], graph.tensors[operation.target]
    shape = (x.steps, x.channels, y.steps, y.channels, operation.kernel, operation.before)
    values = (*shape, operation.in_zero, operation.out_zero, operation.low, operation.high)
    return (
        array(f"W{number}", "int8_t", operation.weights.ravel())
        + array(f"B{number}", "int32_t", operation.bias)
        + array(f"M{number}", "int32_t", [m.value for m in operation.multipliers])
        + array(f"R{number}", "int8_t", [m.shift for m in operation.multipliers])
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


def _input_tables(optional: tuple[int, ...]) -> str:
    tables = array("OPTIONAL", "uint8_t", optional) if optional else ""
    return defines({"OPTIONALS": len(optional), "ABSENT": ABSENT}) + tables


def _score_tables(scoring: Scoring) -> str:
    constants = {
        "RESIDUAL_INPUT": scoring.residual_input,
        "RESIDUAL_OUTPUT": scoring.residual_output,
        "CORE_FIRST": scoring.core[0],
        "CORE_LAST": scoring.core[1],
        "CORRECTION_ZERO": f"({scoring.correction_zero})",
    }
    return defines(constants) + array("CHANNEL_WEIGHT", "int32_t", scoring.channel_weight)


def _check(scoring: Scoring) -> None:
    fits = {
        "input scale": 128 * scoring.residual_input < 2**30,
        "correction scale": 255 * scoring.residual_output < 2**30,
    }
    if broken := [name for name, fit in fits.items() if not fit]:
        raise InputError(f"{', '.join(broken)} too large for the C interface", hint="raise windows.clip")
