"""Readers of operators that take codes out of a tensor or put them in another order."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from components.quantization.targets.c99.reading import Reading, demand
from components.quantization.targets.c99.tflite import Operator
from components.runtime.integers import Grid, Move, Operation


def transpose_of(reading: Reading, operator: Operator) -> list[Operation]:
    (x,), y = reading.ends(operator, 1, 2)
    order = reading.constant(operator, 1, "INT32").ravel().tolist()
    demand(operator, sorted(order) == list(range(len(x.shape))), f"axes {order}")
    demand(operator, tuple(x.shape[a] for a in order) == y.shape, f"an output of shape {y.shape}")
    steps = _steps(x.shape)
    return [_move(reading, operator, 0, 0, y.shape, [steps[a] for a in order])]


def slice_of(reading: Reading, operator: Operator) -> list[Operation]:
    """STRIDED_SLICE with begins, ends and strides that are known, one an axis, none of them backwards."""
    (x,), y = reading.ends(operator, 1, 4)
    begin, end, stride = (reading.constant(operator, i, "INT32").ravel().astype(np.int64) for i in (1, 2, 3))
    options, axes = operator.options, len(x.shape)
    known = begin.size == end.size == stride.size == axes and not options.get("EllipsisMask") and not options.get("NewAxisMask")
    demand(
        operator, bool(options) and known and bool((stride > 0).all()), "a slice that is not one begin, end and stride an axis"
    )
    firsts, sizes = [], []
    for a, n in enumerate(x.shape):
        only = options["ShrinkAxisMask"] >> a & 1
        first = 0 if options["BeginMask"] >> a & 1 and not only else _within(int(begin[a]), n)
        last = first + 1 if only else n if options["EndMask"] >> a & 1 else _within(int(end[a]), n)
        firsts.append(first)
        sizes.append(len(range(first, min(last, n), int(stride[a]))))
    demand(operator, min(sizes, default=0) > 0 and prod(sizes) == y.size, f"an output of shape {y.shape}")
    steps = _steps(x.shape)
    place = sum(f * s for f, s in zip(firsts, steps, strict=True))
    return [_move(reading, operator, 0, place, sizes, [s * int(n) for s, n in zip(steps, stride, strict=True)])]


def split_of(reading: Reading, operator: Operator) -> list[Operation]:
    """SPLIT into equal parts: the axis is the first input."""
    count = len(operator.outputs)
    demand(operator, len(operator.inputs) == 2 and count > 0, f"{len(operator.inputs)} inputs")
    x = reading.known(operator, operator.inputs[1])
    given = reading.constant(operator, 0, "INT32").ravel().tolist()
    demand(operator, len(given) == 1 and -len(x.shape) <= given[0] < len(x.shape), f"axes {given}")
    axis, steps = given[0] % len(x.shape), _steps(x.shape)
    part = (*x.shape[:axis], x.shape[axis] // count, *x.shape[axis + 1 :])
    moves: list[Operation] = []
    for i in range(count):
        y = reading.known(operator, operator.outputs[i])
        demand(operator, y.shape == part and part[axis] * count == x.shape[axis], f"an output of shape {y.shape}")
        moves.append(_move(reading, operator, i, i * part[axis] * steps[axis], part, steps, source=operator.inputs[1]))
    return moves


def _move(
    reading: Reading,
    operator: Operator,
    output: int,
    first: int,
    sizes: Sequence[int],
    steps: Sequence[int],
    source: int | None = None,
) -> Move:
    """Loops over up to four axes longer than one; those that lie in one piece are one."""
    loops: list[tuple[int, int]] = []
    for size, step in zip(sizes, steps, strict=True):
        if size > 1 and loops and loops[-1][1] == size * step:
            loops[-1] = (loops[-1][0] * size, step)
        elif size > 1:
            loops.append((size, step))
    demand(operator, len(loops) <= 4, f"{len(loops)} axes")
    loops = [(1, 0)] * (4 - len(loops)) + loops
    (a, b, c, d), (i, j, k, m) = ([loop[part] for loop in loops] for part in (0, 1))
    start = reading.source(operator.inputs[0] if source is None else source)
    return Move(start, reading.source(operator.outputs[output]), first, Grid((a, b, c, d), ((i, j, k, m), (0, 0, 0, 0))))


def _steps(shape: Sequence[int]) -> list[int]:
    return [prod(shape[a + 1 :]) for a in range(len(shape))]


def _within(index: int, size: int) -> int:
    return min(max(index + size if index < 0 else index, 0), size)
