"""The C of a graph: the kernels in use, the tables of its operations, and `network`, which runs them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from string import Template
from typing import Any

import numpy as np

from components.quantization.targets.c99.arena import Arena
from components.quantization.targets.c99.text import array, braced, defines, kernel
from components.runtime.fixed_point import Multiplier
from components.runtime.integers import (
    Curve,
    Graph,
    Grid,
    Join,
    Layer,
    Move,
    Operation,
    Pad,
    Pool,
    Product,
    Ramp,
    Reduction,
    Softmax,
    Softmax16,
    Sum,
    Table,
    Tensor,
    constants_of,
)
from components.runtime.lookup import EXP, RECIPROCAL, SIGMOID
from components.runtime.packing import packed

_ORDER = (
    "layer.c", "layer16.c", "patch.c", "words.c", "dense.c", "convolution.c", "depthwise.c", "widening.c", "convolution16.c",
    "depthwise16.c", "grid.c", "addition.c", "product.c", "pool.c", "table.c", "ramp.c", "curve.c", "softmax.c", "softmax16.c",
    "reduction.c", "pad.c", "join.c", "move.c", "dot4.c", "dot1.c", "packed.c",
)  # fmt: skip
_COMPUTING = ("layer.c", "addition.c", "product.c", "pool.c", "softmax.c", "softmax16.c", "reduction.c")
"""Kernels that, in 8 bits, need its arithmetic."""
_WIDTHS = {
    "": {"n": "", "code": "int8_t", "least": "-128", "greatest": "127", "headroom": "20", "outside": "l->in_zero"},
    "16": {"n": "16", "code": "int16_t", "least": "-32768", "greatest": "32767", "headroom": "15", "outside": "0"},
    "4": {"n": "4"},
    "1": {"n": "1"},
    "16_of_8": {"n": "16_of_8", "from": "int8_t", "code": "int16_t"},
    "16_of_16": {"n": "16_of_16", "from": "int16_t", "code": "int16_t"},
    "8_of_16": {"n": "8_of_16", "from": "int16_t", "code": "int8_t"},
}
"""By width of the codes: what is filled into kernels that are there in several."""
Kernel = tuple[str, str]
"""A text, and the width that it is written for."""

_WORTH_A_KERNEL = 0.1


@dataclass(frozen=True)
class _Code:
    """``kernels`` that an operation needs, its constant ``tables``, and the ``calls`` that run it."""

    kernels: tuple[Kernel, ...]
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
        return (
            f"K{tensor}" if tensor in self.graph.constants else place_of(self.graph.tensors[tensor], self.arena.offsets[tensor])
        )

    def copies(self, layer: Layer) -> str:
        """Where patches are gathered. When none are, compilers make out of a null what would be written to it with 16 bits."""
        place = self.arena.copies.get(self.number, 0 if layer.bits == 16 else None)
        return "0" if place is None else place_of(self.graph.tensors[layer.source], place)

    def width(self, tensor: int) -> str:
        return "" if self.graph.tensors[tensor].bits == 8 else "16"


def place_of(tensor: Tensor, offset: int) -> str:
    """The C of a pointer to codes like those of ``tensor``, ``offset`` bytes into the arena."""
    return f"arena.bytes + {offset}" if tensor.bits == 8 else f"arena.codes16 + {offset // 2}"


def graph_code(graph: Graph, arena: Arena, names: dict[str, int]) -> str:
    """``names``: macro -> tensor in the arena that it stands for."""
    dense = _dense_share(graph) > _WORTH_A_KERNEL
    written = [_WRITERS[type(o)](o, _Place(i, graph, arena, dense)) for i, o in enumerate(graph.operations)]
    used = {name for code in written for name in code.kernels}
    layers = [o for o in graph.operations if isinstance(o, Layer)]
    wide = any(o.wide for o in layers if o.bits == 8)
    has_16 = any(t.bits == 16 for t in graph.tensors.values())
    has_8 = any((name, "") in used for name in _COMPUTING)
    parts = [
        "#if defined(__ARM_FEATURE_DSP)\n#include <arm_acle.h>\n#endif\n" if ("words.c", "") in used else "",
        defines(_shortcuts(layers)),
        kernel("spare.c"),
        Template(kernel("arithmetic.c")).substitute(sum="int64_t" if wide else "int32_t") if has_8 else "",
        kernel("arithmetic16.c") if has_16 else "",
        _types_of_16([o for o in layers if o.bits == 16]),
        array("SIGMOID", "uint16_t", SIGMOID) if ("curve.c", "") in used else "",
        array("EXP", "int16_t", EXP) + array("RECIPROCAL", "int16_t", RECIPROCAL) if ("softmax16.c", "") in used else "",
        *(filled(*one) for one in sorted(used, key=lambda one: (_ORDER.index(one[0]), one[1]))),
        *(code.tables for code in written),
        *(array(f"K{index}", f"{codes.dtype}_t", codes.ravel()) for index, codes in constants_of(graph)),
        _storage(graph, arena, names),
        "static void network(void)\n{\n" + "".join(f"    {call};\n" for code in written for call in code.calls) + "}\n",
    ]
    return "\n".join(filter(None, parts))


def filled(name: str, width: str) -> str:
    return Template(kernel(name)).substitute(_WIDTHS[width])


def _types_of_16(layers: list[Layer]) -> str:
    """Sums in 64 bits only where they need them, and biases too."""
    if not layers:
        return ""
    sums = "int64_t" if any(o.wide and o.long for o in layers) else "int32_t"
    biases = "int64_t" if any(o.bias.dtype == np.int64 for o in layers) else "int32_t"
    return f"typedef {sums} sum16;\ntypedef {biases} bias16;\n"


def _shortcuts(layers: list[Layer]) -> dict[str, int]:
    """What a compiler may leave out of the kernels: cases of rounding, rows of an image, what words of four leave over."""
    one_row = all(o.sweep.image[0] == o.sweep.kernel[0] == o.sweep.out[0] == 1 for o in layers)
    shifts = [m.shift for o in layers if o.bits == 8 for m in o.multipliers]
    layers = [o for o in layers if o.bits == o.weight_bits == 8]
    rows = [prod(o.sweep.kernel) * o.sweep.image[2] for o in layers if not o.depthwise]
    return {
        "WIDE_SUMS": int(any(o.wide for o in layers)),
        "RIGHT_SHIFTS": int(all(shift < 0 for shift in shifts)),
        "ONE_ROW": int(one_row),
        "ODD_ROWS": int(any(n % 4 for n in rows)),
        "ODD_CHANNELS": int(any(o.weights.shape[-1] % 4 for o in layers if o.depthwise)),
    }


def _dense_share(graph: Graph) -> float:
    """Of all multiplications, in layers of one output: they share no loads of weights, and another kernel is faster."""
    return sum(o.macs for o in graph.operations if isinstance(o, Layer) and _one_piece(o)) / max(graph.macs, 1)


def _storage(graph: Graph, arena: Arena, names: dict[str, int]) -> str:
    places = "".join(f"#define {name} ({place_of(graph.tensors[t], arena.offsets[t])})\n" for name, t in names.items())
    codes16 = f"    int16_t codes16[{arena.size // 2}];\n" if any(t.bits == 16 for t in graph.tensors.values()) else ""
    union = f"static union {{\n    int8_t bytes[{arena.size}];\n{codes16}    uint32_t words[1];\n}} arena;\n"
    return f"/* A union, so that the bytes are aligned to words. */\n{union}{places}"


def _layer(layer: Layer, place: _Place) -> _Code:
    i, sweep = place.number, layer.sweep
    channels = layer.weights.shape[-1] if layer.depthwise else len(layer.weights)
    shape = (sweep.image[2], channels, *sweep.image[:2], *sweep.out, *sweep.kernel, *sweep.before)
    ends = (layer.low, layer.high, int(not layer.long)) if layer.bits == 16 else _ends(layer)
    fields = (f"W{i}", f"B{i}", f"M{i}", f"R{i}", *shape, *sweep.stride, *sweep.dilation, *ends)
    tables = (
        array(f"W{i}", "int8_t", packed(layer))
        + array(f"B{i}", "int32_t" if layer.bits == 8 else "bias16", layer.bias)
        + array(f"M{i}", "int32_t", [m.value for m in layer.multipliers])
        + array(f"R{i}", "int8_t", [m.shift for m in layer.multipliers])
        + f"static const layer{place.width(layer.source)} L{i} = {braced(fields)};\n"
    )
    name, more = _kernel_of(layer, place)
    width = place.width(layer.source)
    x, y = place.at(layer.source), place.at(layer.target)
    if name == "dense":
        return _Code((*more, ("dense.c", "")), tables, (f"dense(&L{i}, {x}, {prod(sweep.kernel) * sweep.image[2]}, {y})",))
    own = () if layer.weight_bits != 8 else ((f"{name}.c", ""),)
    kernels = ((f"layer{width}.c", ""), ("patch.c", width), *more, *own)
    return _Code(kernels, tables, (f"{name}(&L{i}, {x}, {y}, {place.copies(layer)})",))


def _ends(layer: Layer) -> tuple[int, ...]:
    return layer.in_zero, layer.out_zero, layer.low, layer.high


def _kernel_of(layer: Layer, place: _Place) -> tuple[str, tuple[Kernel, ...]]:
    """(its kernel, what that needs beside its like)."""
    if layer.bits == 16:
        return ("depthwise16" if layer.depthwise else "convolution16"), ()
    if layer.weight_bits != 8:
        n = str(layer.weight_bits)
        return f"convolution{n}", ((f"dot{n}.c", ""), ("packed.c", n))
    words = (("words.c", ""),)
    if layer.depthwise:
        return ("depthwise", words) if layer.weights.shape[-1] == layer.sweep.image[2] else ("widening", ())
    return ("dense", (("layer.c", ""), *words)) if place.dense and _one_piece(layer) else ("convolution", words)


def _one_piece(layer: Layer) -> bool:
    """One output that reads the whole image as it lies."""
    sweep = layer.sweep
    whole = sweep.out == (1, 1) and sweep.kernel == sweep.image[:2] and sweep.inside
    return whole and not layer.depthwise and layer.bits == layer.weight_bits == 8


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
    n = place.width(operation.target)
    table = f"static const {kind}{n} S{place.number} = {braced(fields)};\n"
    call = f"{function}{n}(&S{place.number}, {left}, {right}, {y})"
    return _Code((("grid.c", ""), (f"{kind}.c", n)), table, (call,))


def _grid(grid: Grid) -> str:
    return braced((braced(grid.sizes), *(braced(steps) for steps in grid.steps)))


def _pool(pool: Pool, place: _Place) -> _Code:
    sweep = pool.sweep
    shape = (sweep.image[2], *sweep.image[:2], *sweep.out, *sweep.kernel, *sweep.stride, *sweep.before)
    n = place.width(pool.target)
    table = f"static const pool{n} P{place.number} = {braced((*shape, pool.low, pool.high))};\n"
    call = f"pooled{n}(&P{place.number}, {place.at(pool.source)}, {place.at(pool.target)}, {int(pool.largest)})"
    return _Code((("pool.c", n),), table, (call,))


def _table(operation: Table, place: _Place) -> _Code:
    size = place.graph.tensors[operation.target].size
    call = f"look_up(T{place.number}, {place.at(operation.source)}, {place.at(operation.target)}, {size})"
    return _Code((("table.c", ""),), array(f"T{place.number}", "int8_t", operation.codes), (call,))


def _ramp(operation: Ramp, place: _Place) -> _Code:
    source, target = (place.graph.tensors[t] for t in (operation.source, operation.target))
    factor, below = operation.factor, operation.below
    fields = (factor.value, below.value, factor.shift, below.shift, *operation.zeros, operation.low, operation.high)
    n = f"{target.bits}_of_{source.bits}"
    call = f"scale{n}(&Q{place.number}, {place.at(operation.source)}, {place.at(operation.target)}, {target.size})"
    return _Code((("ramp.c", n),), f"static const ramp{n} Q{place.number} = {braced(fields)};\n", (call,))


def _curve(operation: Curve, place: _Place) -> _Code:
    size = place.graph.tensors[operation.target].size
    how = f"{int(operation.tanh)}, {operation.multiplier}, {operation.shift}"
    return _Code((("curve.c", ""),), "", (f"curve({how}, {place.at(operation.source)}, {place.at(operation.target)}, {size})",))


def _softmax(operation: Softmax, place: _Place) -> _Code:
    rows = place.graph.tensors[operation.target].size // operation.classes
    ends = f"{place.at(operation.source)}, {place.at(operation.target)}"
    call = f"softmax(E{place.number}, {ends}, {rows}, {operation.classes})"
    return _Code((("softmax.c", ""),), array(f"E{place.number}", "int32_t", operation.exps), (call,))


def _softmax16(operation: Softmax16, place: _Place) -> _Code:
    rows = place.graph.tensors[operation.target].size // operation.classes
    ends = f"{place.at(operation.source)}, {place.at(operation.target)}"
    factor = f"{operation.factor.value}, {operation.factor.shift}"
    return _Code((("softmax16.c", ""),), "", (f"softmax16({factor}, {ends}, {rows}, {operation.classes})",))


def _reduction(operation: Reduction, place: _Place) -> _Code:
    factor = operation.factor or Multiplier(0, 0)
    fields = (*operation.shape, factor.value, factor.shift, operation.in_zero, operation.out_zero)
    ends = f"{place.at(operation.source)}, {place.at(operation.target)}"
    n = place.width(operation.target)
    call = f"reduce{n}(&D{place.number}, {ends}, {int(operation.factor is None)})"
    return _Code((("reduction.c", n),), f"static const reduction{n} D{place.number} = {braced(fields)};\n", (call,))


def _pad(operation: Pad, place: _Place) -> _Code:
    out = (b + n + a for n, b, a in zip(operation.shape, operation.before, operation.after, strict=True))
    fields = (braced(operation.shape), braced(operation.before), braced(out), operation.value)
    n = place.width(operation.target)
    call = f"pad{n}(&A{place.number}, {place.at(operation.source)}, {place.at(operation.target)})"
    return _Code((("pad.c", n),), f"static const padding{n} A{place.number} = {braced(fields)};\n", (call,))


def _join(operation: Join, place: _Place) -> _Code:
    return _Code((("join.c", place.width(operation.target)),), "", tuple(_joins(operation, place)))


def _joins(operation: Join, place: _Place) -> Iterator[str]:
    at, row, n = 0, sum(operation.sizes), place.width(operation.target)
    for source, size in zip(operation.sources, operation.sizes, strict=True):
        yield f"join{n}({place.at(source)}, {place.at(operation.target)} + {at}, {operation.rows}, {size}, {row})"
        at += size


def _move(operation: Move, place: _Place) -> _Code:
    table = f"static const grid G{place.number} = {_grid(operation.grid)};\n"
    n = place.width(operation.target)
    call = f"move{n}(&G{place.number}, {place.at(operation.source)} + {operation.first}, {place.at(operation.target)})"
    return _Code((("grid.c", ""), ("move.c", n)), table, (call,))


_WRITERS: dict[type[Operation], Callable[[Any, _Place], _Code]] = {
    Layer: _layer,
    Sum: _sum,
    Product: _product,
    Pool: _pool,
    Table: _table,
    Ramp: _ramp,
    Curve: _curve,
    Softmax: _softmax,
    Softmax16: _softmax16,
    Reduction: _reduction,
    Pad: _pad,
    Join: _join,
    Move: _move,
}
