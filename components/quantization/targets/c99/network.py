"""The C of the telemetry network: its graph, and the score of its outputs."""

from __future__ import annotations

from string import Template

from components.quantization.targets.c99.arena import Arena, plan
from components.quantization.targets.c99.emit import Body, gauge_tables
from components.quantization.targets.c99.operations import graph_code
from components.quantization.targets.c99.text import array, defines, kernel
from components.quantization.targets.c99.wide import wide_code, wide_memory
from components.runtime.integers import Graph
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
    entry = graph.tensors[graph.input]
    shape = len(scoring.channel_weight), entry.size // entry.channels
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
    parts = [graph_code(graph, arena, places), input_tables(optional), _score_tables(scoring), pipeline]
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


def input_tables(optional: tuple[int, ...]) -> str:
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
