"""The C of a graph: the kernels in use, the tables of its operations, and `network`, which runs them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from string import Template
from typing import Any

from components.quantization.targets.c99.arena import Arena
from components.quantization.targets.c99.text import array, braced, defines, kernel
from components.runtime.fixed_point import Multiplier
from components.runtime.integers import (
    Graph,
    Grid,
    Join,
    Layer,
    Move,
    Operation,
    Pad,
    Pool,
    Product,
    Reduction,
    Softmax,
    Sum,
    Table,
    constants_of,
)

_ORDER = (
    "layer.c", "patch.c", "words.c", "dense.c", "convolution.c", "depthwise.c", "widening.c",
    "grid.c", "addition.c", "product.c", "pool.c", "table.c", "softmax.c", "reduction.c", "pad.c", "join.c", "move.c",
)  # fmt: skip

_WORTH_A_KERNEL = 0.1


@dataclass(frozen=True)
class _Code:
    """``kernels`` that an operation needs, its constant ``tables``, and the ``calls`` that run it."""

    kernels: tuple[str, ...]
    tables: str
    calls: tuple[str, ...]


@dataclass(frozen=True)
class _Place:
    """Where operation ``number`` finds its tensors."""

    number: int
    graph: Graph
    arena: Arena
    dense: bool  # whether layers of one output are worth a kernel of their own

    def at(self, tensor: int) -> str:
        return f"K{tensor}" if tensor in self.graph.constants else f"arena.bytes + {self.arena.offsets[tensor]}"

    @property
    def copies(self) -> str:
        place = self.arena.copies.get(self.number)
        return "0" if place is None else f"arena.bytes + {place}"


def graph_code(graph: Graph, arena: Arena, names: dict[str, int]) -> str:
    """``names``: macro -> tensor in the arena that it stands for."""
    dense = _dense_share(graph) > _WORTH_A_KERNEL
    written = [_WRITERS[type(o)](o, _Place(i, graph, arena, dense)) for i, o in enumerate(graph.operations)]
    used = {name for code in written for name in code.kernels}
    wide = any(isinstance(o, Layer) and o.wide for o in graph.operations)
    parts = [
        "#if defined(__ARM_FEATURE_DSP)\n#include <arm_acle.h>\n#endif\n" if "words.c" in used else "",
        defines(_shortcuts([o for o in graph.operations if isinstance(o, Layer)])),
        Template(kernel("arithmetic.c")).substitute(sum="int64_t" if wide else "int32_t"),
        *(kernel(name) for name in _ORDER if name in used),
        *(code.tables for code in written),
        *(array(f"K{index}", "int8_t", codes.ravel()) for index, codes in constants_of(graph)),
        _storage(arena, names),
        "static void network(void)\n{\n" + "".join(f"    {call};\n" for code in written for call in code.calls) + "}\n",
    ]
    return "\n".join(filter(None, parts))


def _shortcuts(layers: list[Layer]) -> dict[str, int]:
    """What a compiler may leave out of the kernels: cases of rounding, rows of an image, what words of four leave over."""
    rows = [prod(o.sweep.kernel) * o.sweep.image[2] for o in layers if not o.depthwise]
    return {
        "WIDE_SUMS": int(any(o.wide for o in layers)),
        "RIGHT_SHIFTS": int(all(m.shift < 0 for o in layers for m in o.multipliers)),
        "ONE_ROW": int(all(o.sweep.image[0] == o.sweep.kernel[0] == o.sweep.out[0] == 1 for o in layers)),
        "ODD_ROWS": int(any(n % 4 for n in rows)),
        "ODD_CHANNELS": int(any(o.weights.shape[-1] % 4 for o in layers if o.depthwise)),
    }


def _dense_share(graph: Graph) -> float:
    """Of all multiplications, in layers of one output: they share no loads of weights, and another kernel is faster."""
    return sum(o.macs for o in graph.operations if isinstance(o, Layer) and _one_piece(o)) / max(graph.macs, 1)


def _storage(arena: Arena, names: dict[str, int]) -> str:
    places = "".join(f"#define {name} (arena.bytes + {arena.offsets[tensor]})\n" for name, tensor in names.items())
    union = f"static union {{\n    int8_t bytes[{arena.size}];\n    uint32_t words[1];\n}} arena;\n"
    return f"/* A union, so that the bytes are aligned to words. */\n{union}{places}"


def _layer(layer: Layer, place: _Place) -> _Code:
    i, sweep = place.number, layer.sweep
    channels = layer.weights.shape[-1] if layer.depthwise else len(layer.weights)
    shape = (sweep.image[2], channels, *sweep.image[:2], *sweep.out, *sweep.kernel, *sweep.before)
    fields = (
        f"W{i}",
        f"B{i}",
        f"M{i}",
        f"R{i}",
        *shape,
        *sweep.stride,
        *sweep.dilation,
        layer.in_zero,
        layer.out_zero,
        layer.low,
        layer.high,
    )
    tables = (
        array(f"W{i}", "int8_t", layer.weights.ravel())
        + array(f"B{i}", "int32_t", layer.bias)
        + array(f"M{i}", "int32_t", [m.value for m in layer.multipliers])
        + array(f"R{i}", "int8_t", [m.shift for m in layer.multipliers])
        + f"static const layer L{i} = {braced(fields)};\n"
    )
    ends = f"{place.at(layer.source)}, {place.at(layer.target)}"
    if layer.depthwise:
        name = "depthwise" if channels == sweep.image[2] else "widening"
        words = ("words.c",) if name == "depthwise" else ()
        return _Code(("layer.c", "patch.c", *words, f"{name}.c"), tables, (f"{name}(&L{i}, {ends}, {place.copies})",))
    if place.dense and _one_piece(layer):
        size = prod(sweep.kernel) * sweep.image[2]
        x, y = place.at(layer.source), place.at(layer.target)
        return _Code(("layer.c", "words.c", "dense.c"), tables, (f"dense(&L{i}, {x}, {size}, {y})",))
    kernels = ("layer.c", "patch.c", "words.c", "convolution.c")
    return _Code(kernels, tables, (f"convolution(&L{i}, {ends}, {place.copies})",))


def _one_piece(layer: Layer) -> bool:
    """One output that reads the whole image as it lies."""
    return (
        not layer.depthwise and layer.sweep.out == (1, 1) and layer.sweep.kernel == layer.sweep.image[:2] and layer.sweep.inside
    )


def _sum(operation: Sum, place: _Place) -> _Code:
    factors = (*operation.factors, operation.factor)
    fields = (
        _grid(operation.grid),
        braced(f.value for f in factors),
        braced(f.shift for f in factors),
        operation.sign,
        braced((*operation.zeros, operation.out_zero)),
        operation.low,
        operation.high,
    )
    return _binary(operation, place, "addition", "add", fields)


def _product(operation: Product, place: _Place) -> _Code:
    factor, zeros = operation.factor, braced((*operation.zeros, operation.out_zero))
    fields = (_grid(operation.grid), factor.value, factor.shift, zeros, operation.low, operation.high)
    return _binary(operation, place, "product", "multiply", fields)


def _binary(operation: Sum | Product, place: _Place, kind: str, function: str, fields: tuple[Any, ...]) -> _Code:
    left, right, y = (place.at(i) for i in (*operation.sources, operation.target))
    table = f"static const {kind} S{place.number} = {braced(fields)};\n"
    return _Code(("grid.c", f"{kind}.c"), table, (f"{function}(&S{place.number}, {left}, {right}, {y})",))


def _grid(grid: Grid) -> str:
    return braced((braced(grid.sizes), *(braced(steps) for steps in grid.steps)))


def _pool(pool: Pool, place: _Place) -> _Code:
    sweep = pool.sweep
    shape = (sweep.image[2], *sweep.image[:2], *sweep.out, *sweep.kernel, *sweep.stride, *sweep.before)
    table = f"static const pool P{place.number} = {braced((*shape, pool.low, pool.high))};\n"
    call = f"pooled(&P{place.number}, {place.at(pool.source)}, {place.at(pool.target)}, {int(pool.largest)})"
    return _Code(("pool.c",), table, (call,))


def _table(operation: Table, place: _Place) -> _Code:
    size = place.graph.tensors[operation.target].size
    call = f"look_up(T{place.number}, {place.at(operation.source)}, {place.at(operation.target)}, {size})"
    return _Code(("table.c",), array(f"T{place.number}", "int8_t", operation.codes), (call,))


def _softmax(operation: Softmax, place: _Place) -> _Code:
    rows = place.graph.tensors[operation.target].size // operation.classes
    ends = f"{place.at(operation.source)}, {place.at(operation.target)}"
    call = f"softmax(E{place.number}, {ends}, {rows}, {operation.classes})"
    return _Code(("softmax.c",), array(f"E{place.number}", "int32_t", operation.exps), (call,))


def _reduction(operation: Reduction, place: _Place) -> _Code:
    factor = operation.factor or Multiplier(0, 0)
    fields = (*operation.shape, factor.value, factor.shift, operation.in_zero, operation.out_zero)
    ends = f"{place.at(operation.source)}, {place.at(operation.target)}"
    call = f"reduce(&D{place.number}, {ends}, {int(operation.factor is None)})"
    return _Code(("reduction.c",), f"static const reduction D{place.number} = {braced(fields)};\n", (call,))


def _pad(operation: Pad, place: _Place) -> _Code:
    out = (b + n + a for n, b, a in zip(operation.shape, operation.before, operation.after, strict=True))
    fields = (braced(operation.shape), braced(operation.before), braced(out), operation.value)
    call = f"pad(&A{place.number}, {place.at(operation.source)}, {place.at(operation.target)})"
    return _Code(("pad.c",), f"static const padding A{place.number} = {braced(fields)};\n", (call,))


def _join(operation: Join, place: _Place) -> _Code:
    return _Code(("join.c",), "", tuple(_joins(operation, place)))


def _joins(operation: Join, place: _Place) -> Iterator[str]:
    at, row = 0, sum(operation.sizes)
    for source, size in zip(operation.sources, operation.sizes, strict=True):
        yield f"join({place.at(source)}, {place.at(operation.target)} + {at}, {operation.rows}, {size}, {row})"
        at += size


def _move(operation: Move, place: _Place) -> _Code:
    table = f"static const grid G{place.number} = {_grid(operation.grid)};\n"
    call = f"move(&G{place.number}, {place.at(operation.source)} + {operation.first}, {place.at(operation.target)})"
    return _Code(("grid.c", "move.c"), table, (call,))


_WRITERS: dict[type[Operation], Callable[[Any, _Place], _Code]] = {
    Layer: _layer,
    Sum: _sum,
    Product: _product,
    Pool: _pool,
    Table: _table,
    Softmax: _softmax,
    Reduction: _reduction,
    Pad: _pad,
    Join: _join,
    Move: _move,
}
