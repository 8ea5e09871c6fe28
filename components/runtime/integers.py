"""A network in integers: a few operations with every constant that a device needs.

Folded into the constants, exactly: the zero point of a layer's input goes into its bias, and scales become 32-bit
multipliers with shifts, by the rules of TensorFlow Lite Micro (`QuantizeMultiplier`). `components.runtime.interpreter`
computes them, and so does the generated C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.runtime.fixed_point import Multiplier, narrow, quantize_multiplier, reduced
from components.workspace.errors import InputError

LEFT_SHIFT = 20
"""Headroom that TensorFlow Lite gives both terms of an addition of int8."""
LEFT_SHIFT_16 = 15
"""And of int16."""
Pair = tuple[int, int]
Bits = Literal[8, 16]
WeightBits = Literal[1, 4, 8]
Codes = NDArray[np.signedinteger[Any]]
"""int8 or int16."""


@dataclass(frozen=True)
class Tensor:
    """int8 or int16 codes of one inference, channels last; ``value = (q - zero) * scale``. With 16 bits ``zero`` is 0."""

    shape: tuple[int, ...]
    scale: float
    zero: int
    bits: Bits = 8

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def channels(self) -> int:
        return self.shape[-1] if self.shape else 1

    @property
    def bytes(self) -> int:
        return self.size * self.bits // 8

    @property
    def low(self) -> int:
        """The least code."""
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1


@dataclass(frozen=True)
class Sweep:
    """How a kernel moves over an image of ``height``, ``width`` and ``channels``; pairs are (along height, along width).

    ``before``: rows and columns outside the image that the first output reads.
    """

    image: tuple[int, int, int]
    out: Pair
    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    before: Pair = (0, 0)

    @property
    def inside(self) -> bool:
        """Whether no output reads outside the image."""
        size = zip(self.image, self.out, self.kernel, self.stride, self.dilation, self.before, strict=False)
        return all(p == 0 and (o - 1) * s + (k - 1) * d < i for i, o, k, s, d, p in size)


@dataclass(frozen=True)
class Layer:
    """A convolution; outside the image it reads ``in_zero``. A fully connected layer is one over an image of one column a row.

    ``weights``: (out, height, width, in) int8, or (height, width, out) when ``depthwise``, where output channel c reads input
    channel ``c // (out // in)``. ``bias``: (out,) with ``-in_zero * sum(weights)`` in it. ``multipliers``: one an output
    channel. ``wide``: sums need all 32 bits, not 30.

    With int16 activations (``bits``) sums have 64 bits and multipliers 15 where ``long``; ``wide`` then says that the products
    alone need more than 32. ``weight_bits``: what a weight takes in C, 8, 4 (codes from -7 to 7) or 1 (-1 and 1).
    """

    source: int
    target: int
    depthwise: bool
    weights: NDArray[np.int8]
    bias: NDArray[np.signedinteger[Any]]
    multipliers: tuple[Multiplier, ...]
    sweep: Sweep
    in_zero: int
    out_zero: int
    low: int
    high: int
    wide: bool = False
    bits: Bits = 8
    long: bool = False
    weight_bits: WeightBits = 8

    @property
    def macs(self) -> int:
        return prod(self.sweep.out) * self.weights.size


@dataclass(frozen=True)
class Grid:
    """Elementwise work as loops: ``sizes`` of four, outermost first; ``steps`` of both operands in each, 0 where one repeats."""

    sizes: tuple[int, int, int, int]
    steps: tuple[tuple[int, int, int, int], tuple[int, int, int, int]]


@dataclass(frozen=True)
class Sum:
    """Elementwise sum of two tensors with scales of their own; ``sign`` -1 subtracts the second. ``headroom``: bits by which both
    terms are shifted before they are scaled.
    """

    sources: Pair
    target: int
    zeros: Pair
    factors: tuple[Multiplier, Multiplier]
    factor: Multiplier
    out_zero: int
    low: int
    high: int
    grid: Grid
    sign: int = 1
    headroom: int = LEFT_SHIFT


@dataclass(frozen=True)
class Product:
    """Elementwise product of two tensors with scales of their own."""

    sources: Pair
    target: int
    zeros: Pair
    factor: Multiplier
    out_zero: int
    low: int
    high: int
    grid: Grid


@dataclass(frozen=True)
class Pool:
    """Mean or maximum of what ``sweep`` reads within the image."""

    source: int
    target: int
    largest: bool
    sweep: Sweep
    low: int
    high: int


@dataclass(frozen=True)
class Table:
    """A function of one int8 code: ``codes[q + 128]``."""

    source: int
    target: int
    codes: NDArray[np.int8]


@dataclass(frozen=True)
class Ramp:
    """Codes scaled by ``factor``, those below zero by ``below``, from one width into another."""

    source: int
    target: int
    zeros: Pair
    factor: Multiplier
    below: Multiplier
    low: int
    high: int


@dataclass(frozen=True)
class Curve:
    """Logistic or ``tanh`` of int16 codes, interpolated in a table, of ``code * multiplier * 2^-shift`` in 2^-12 / 3."""

    source: int
    target: int
    tanh: bool
    multiplier: int
    shift: int


@dataclass(frozen=True)
class Softmax:
    """Over rows of ``classes`` codes. ``exps``: exp(-d) in Q0.31 of a code d below the largest, 0 where it does not count."""

    source: int
    target: int
    classes: int
    exps: NDArray[np.int32]


@dataclass(frozen=True)
class Softmax16:
    """The same of int16 codes. ``factor``: from a code to 1/65535 of the ten nats that the table of exponentials spans."""

    source: int
    target: int
    classes: int
    factor: Multiplier


@dataclass(frozen=True)
class Reduction:
    """Over the middle of (outer, reduced, inner): the maximum where there is no ``factor``, else the mean."""

    source: int
    target: int
    shape: tuple[int, int, int]
    in_zero: int = 0
    out_zero: int = 0
    factor: Multiplier | None = None


@dataclass(frozen=True)
class Pad:
    """``value`` around (outer, height, width, inner) of four axes; ``before``, ``after``: cells an axis."""

    source: int
    target: int
    shape: tuple[int, int, int, int]
    before: tuple[int, int, int, int]
    after: tuple[int, int, int, int]
    value: int


@dataclass(frozen=True)
class Join:
    """Concatenation: ``rows`` times, ``sizes`` codes of each source."""

    sources: tuple[int, ...]
    target: int
    rows: int
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Move:
    """Codes in another order, or some of them: those that ``grid`` walks over from ``first`` on, by its left steps."""

    source: int
    target: int
    first: int
    grid: Grid


Operation = Layer | Sum | Product | Pool | Table | Ramp | Curve | Softmax | Softmax16 | Reduction | Pad | Join | Move


@dataclass(frozen=True)
class Graph:
    """Operations in order. ``outputs``: name -> tensor. ``constants``: tensors that no operation writes."""

    tensors: dict[int, Tensor]
    operations: tuple[Operation, ...]
    input: int
    outputs: dict[str, int]
    constants: dict[int, Codes] = field(default_factory=dict)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(o.macs for o in self.operations if isinstance(o, Layer))


def sources_of(operation: Operation) -> tuple[int, ...]:
    """The tensors that ``operation`` reads."""
    return operation.sources if isinstance(operation, Sum | Product | Join) else (operation.source,)


def layer(
    source: int,
    target: int,
    ends: tuple[Tensor, Tensor],
    weights: NDArray[np.int8],
    bias: NDArray[np.int64],
    products: list[float],
    sweep: Sweep,
    *,
    low: int,
    high: int,
    long: bool = True,
) -> Layer:
    """A convolution between the tensors ``ends``: ``weights`` as in `Layer`, (out,) ``bias``, ``products``: scale of the sum of
    each output channel, which is that of the input times that of its weights. ``low``, ``high``: limits in codes. ``long``: of
    int16 activations, sums in 64 bits.

    Raises:
        InputError: a sum may leave 32 bits.
    """
    x, y = ends
    depthwise = weights.ndim == 3
    axes = (0, 1) if depthwise else (1, 2, 3)
    if x.bits == 16 and long:
        return _long_layer(source, target, ends, weights, bias, products, sweep, low, high)
    bias = bias - x.zero * weights.astype(np.int64).sum(axis=axes)
    multipliers = tuple(quantize_multiplier(product / y.scale) for product in products)
    largest = np.abs(bias) - x.low * np.abs(weights.astype(np.int64)).sum(axis=axes)
    shifted = [int(v) << max(m.shift, 0) for v, m in zip(largest, multipliers, strict=True)]
    if max(shifted) >= 1 << 31:
        raise InputError("no C kernel for a sum beyond 32 bits", hint="its weights are too large for its input: train again")
    wide = max(shifted) >= 1 << 30  # what rounding in the narrow kernel leaves room for
    if not wide:
        multipliers = tuple(narrow(m) for m in multipliers)
    folded = bias.astype(np.int32)
    return Layer(source, target, depthwise, weights, folded, multipliers, sweep, x.zero, y.zero, low, high, wide, x.bits)


def _long_layer(
    source: int,
    target: int,
    ends: tuple[Tensor, Tensor],
    weights: NDArray[np.int8],
    bias: NDArray[np.int64],
    products: list[float],
    sweep: Sweep,
    low: int,
    high: int,
) -> Layer:
    """As TensorFlow Lite computes int16 activations: sums in 64 bits, of which 48 are used, multipliers of 15."""
    x, y = ends
    depthwise = weights.ndim == 3
    multipliers = tuple(reduced(quantize_multiplier(product / y.scale)) for product in products)
    of_products = -x.low * np.abs(weights.astype(np.int64)).sum(axis=(0, 1) if depthwise else (1, 2, 3))
    largest = np.abs(bias) + of_products
    after = [int(v) * m.value >> (15 - m.shift) if m.shift < 8 else 1 << 31 for v, m in zip(largest, multipliers, strict=True)]
    if largest.max() >= 1 << 47 or max(after) >= 1 << 31:
        raise InputError(
            "no C kernel for a sum beyond 48 bits, or 32 once scaled", hint="its weights are too large for its input: train again"
        )
    wide = bool(of_products.max() + np.abs(bias).max() >= 1 << 31)
    made = bias.astype(np.int32) if np.abs(bias).max() < 1 << 31 else bias
    return Layer(source, target, depthwise, weights, made, multipliers, sweep, 0, 0, low, high, wide, x.bits, long=True)


def along_steps(steps: int, channels: int, kernel: int, *, same: bool) -> Sweep:
    """Over (steps, channels) with stride 1. ``same``: as many steps come out; the spare step of an even kernel lies after."""
    out, before = (steps, (kernel - 1) // 2) if same else (steps - kernel + 1, 0)
    return Sweep((1, steps, channels), (1, out), (1, kernel), before=(0, before))


def addition(
    sources: Pair,
    target: int,
    ends: tuple[Tensor, Tensor, Tensor],
    low: int,
    high: int,
    *,
    grid: Grid | None = None,
    sign: int = 1,
) -> Sum:
    """Of the first two tensors of ``ends`` into the third; ``low``, ``high``: limits in codes; ``grid`` where one is repeated."""
    a, b, y = ends
    twice = 2 * max(a.scale, b.scale)
    factors = narrow(quantize_multiplier(a.scale / twice)), narrow(quantize_multiplier(b.scale / twice))
    headroom = LEFT_SHIFT if y.bits == 8 else LEFT_SHIFT_16
    factor = narrow(quantize_multiplier(twice / ((1 << headroom) * y.scale)))
    loops = grid or elementwise(y.size)
    return Sum(sources, target, (a.zero, b.zero), factors, factor, y.zero, low, high, loops, sign, headroom)


def elementwise(size: int) -> Grid:
    """Both operands have the shape of the result."""
    return Grid((1, 1, 1, size), ((0, 0, 0, 1), (0, 0, 0, 1)))


def constants_of(graph: Graph) -> Iterator[tuple[int, Codes]]:
    """The constants that operations read, by tensor."""
    read = {source for operation in graph.operations for source in sources_of(operation)} | set(graph.outputs.values())
    return ((index, codes) for index, codes in sorted(graph.constants.items()) if index in read)
