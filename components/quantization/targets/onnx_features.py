"""The features of `runtime.window_features` as ONNX nodes, in 64-bit integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE
from components.runtime.window_features import (
    CODE_BITS,
    SLOPE_BITS,
    SLOPE_LIMIT,
    bands_of,
    part_spans,
)


class GraphWriter:
    """Nodes and constants of a graph that grows; tensors are known by their names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, kind: str, sources: list[str], *, name: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = name or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, sources, [name], name=f"{kind}.{name}", **attributes))
        return name

    def constant(self, value: NDArray[Any] | int | list[int]) -> str:
        """Numbers without a type of their own are 64-bit integers."""
        from onnx import numpy_helper

        array = value if isinstance(value, np.ndarray) else np.asarray(value, np.int64)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def add(self, a: str, b: str | int) -> str:
        return self.node("Add", [a, self._tensor(b)])

    def subtract(self, a: str, b: str | int) -> str:
        return self.node("Sub", [a, self._tensor(b)])

    def times(self, a: str, b: str | int) -> str:
        return self.node("Mul", [a, self._tensor(b)])

    def over(self, a: str, b: str | int) -> str:
        """Rounded towards zero, which is down for the positive dividends here."""
        return self.node("Div", [a, self._tensor(b)])

    def at_least(self, a: str, low: int) -> str:
        return self.node("Max", [a, self.constant(low)])

    def sum(self, a: str) -> str:
        """Over the last axis."""
        return self.node("ReduceSum", [a, self.constant([-1])], keepdims=0)

    def slice(self, a: str, begin: int, end: int, step: int = 1) -> str:
        """Of the last axis."""
        return self.node("Slice", [a, *(self.constant([v]) for v in (begin, end, -1, step))])

    def where(self, condition: str, a: str, b: str | int) -> str:
        return self.node("Where", [condition, a, self._tensor(b)])

    def integer(self, a: str) -> str:
        from onnx import TensorProto

        return self.node("Cast", [a], to=TensorProto.INT64)

    def root(self, a: str) -> str:
        from onnx import TensorProto

        exact = self.node("Cast", [a], to=TensorProto.DOUBLE)
        return self.integer(self.node("Floor", [self.node("Sqrt", [exact])]))

    def _tensor(self, value: str | int) -> str:
        return value if isinstance(value, str) else self.constant(value)


def write_features(g: GraphWriter, steps: int, channels: int) -> str:
    """From 'codes' (n, steps, channels) int8 to the name of (n, features) int64."""
    x = g.integer(g.node("Transpose", ["codes"], perm=[0, 2, 1]))
    there = g.node("Not", [g.node("Equal", [x, g.constant(MISSING_CODE)])])
    low = g.node("ReduceMin", [g.where(there, x, 127)], axes=[-1], keepdims=0)
    high = g.node("ReduceMax", [g.where(there, x, -127)], axes=[-1], keepdims=0)
    x = g.where(there, x, 0)
    present = g.integer(there)
    n, total = g.sum(present), g.sum(x)
    some = g.node("Greater", [n, g.constant(0)])
    low, high = g.where(some, low, 0), g.where(some, high, 0)
    mean = _mean(g, n, total)
    both = g.node("And", [_later(g, there, steps), _earlier(g, there, steps)])
    step = g.where(both, g.subtract(_later(g, x, steps), _earlier(g, x, steps)), 0)
    same = g.node("And", [both, g.node("Equal", [step, g.constant(0)])])
    centred = g.where(there, g.subtract(x, _column(g, g.subtract(g.over(g.add(mean, 8192), 64), 128))), 0)
    numbers = [
        mean,
        _deviation(g, n, total, g.sum(g.times(x, x))),
        low,
        high,
        g.subtract(high, low),
        _slope(g, x, present, n, total, steps),
        _deviation(g, g.sum(g.integer(both)), g.sum(step), g.sum(g.times(step, step))),
        g.subtract(g.constant(steps), n),
        g.sum(g.integer(same)),
        *_bands(g, centred, steps),
        *_parts(g, x, present, mean, steps),
    ]
    stacked = g.node("Concat", [_column(g, number) for number in numbers], axis=2)
    return g.node("Reshape", [stacked, g.constant([-1, channels * len(numbers)])])


def _mean(g: GraphWriter, n: str, total: str) -> str:
    some = g.at_least(n, 1)
    return g.subtract(g.over(g.add(g.times(total, 1 << CODE_BITS), g.times(some, 1 << 13)), some), 1 << 13)


def _deviation(g: GraphWriter, n: str, total: str, squares: str) -> str:
    spread = g.subtract(g.times(n, squares), g.times(total, total))
    return g.root(g.over(g.times(spread, 1 << 2 * CODE_BITS), g.at_least(g.times(n, n), 1)))


def _slope(g: GraphWriter, x: str, present: str, n: str, total: str, steps: int) -> str:
    t = g.times(present, g.constant(list(range(steps))))
    times = g.sum(t)
    spread = g.at_least(g.subtract(g.times(n, g.sum(g.times(t, t))), g.times(times, times)), 1)
    rise = g.times(g.subtract(g.times(n, g.sum(g.times(t, x))), g.times(times, total)), (steps - 1) << SLOPE_BITS)
    slope = g.subtract(g.over(g.add(rise, g.times(spread, 1 << 15)), spread), 1 << 15)
    return g.node("Min", [g.at_least(slope, -SLOPE_LIMIT), g.constant(SLOPE_LIMIT)])


def _bands(g: GraphWriter, x: str, steps: int) -> list[str]:
    found = []
    for level in range(bands_of(steps)):
        blocks = (steps >> level) // 2
        left, right = g.slice(x, 0, 2 * blocks, 2), g.slice(x, 1, 2 * blocks, 2)
        detail = g.subtract(left, right)
        energy = g.times(g.sum(g.times(detail, detail)), 1 << 2 * (CODE_BITS - level))
        found.append(g.root(g.over(energy, blocks)))
        x = g.add(left, right)
    return found


def _parts(g: GraphWriter, x: str, present: str, mean: str, steps: int) -> list[str]:
    found = []
    for begin, end in part_spans(steps):
        n = g.sum(g.slice(present, begin, end))
        some = g.node("Greater", [n, g.constant(0)])
        found.append(g.where(some, _mean(g, n, g.sum(g.slice(x, begin, end))), mean))
    return found


def _later(g: GraphWriter, a: str, steps: int) -> str:
    return g.slice(a, 1, steps)


def _earlier(g: GraphWriter, a: str, steps: int) -> str:
    return g.slice(a, 0, steps - 1)


def _column(g: GraphWriter, a: str) -> str:
    """(n, channels) -> (n, channels, 1)."""
    return g.node("Unsqueeze", [a, g.constant([-1])])
