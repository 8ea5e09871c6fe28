"""A network in integers: a few operations with every constant that a device needs.

Folded into the constants, exactly: the zero point of a layer's input goes into its bias, and scales become 32-bit
multipliers with shifts, by the rules of TensorFlow Lite Micro (`QuantizeMultiplier`). `components.runtime.interpreter`
computes them, and so does the generated C.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, frexp

import numpy as np
from numpy.typing import NDArray

from components.workspace.errors import InputError

LEFT_SHIFT = 20
"""Headroom that TensorFlow Lite gives both terms of an addition."""


@dataclass(frozen=True)
class Tensor:
    """int8 (steps, channels) of one window; ``value = (q - zero) * scale``."""

    steps: int
    channels: int
    scale: float
    zero: int

    @property
    def size(self) -> int:
        return self.steps * self.channels


@dataclass(frozen=True)
class Multiplier:
    """A positive real as ``value * 2^(shift - 31)``."""

    value: int
    shift: int


@dataclass(frozen=True)
class Layer:
    """A convolution over steps with stride 1. Steps outside the window read ``in_zero``.

    ``weights``: (out, kernel, in) int8, or (kernel, channels) when ``depthwise``. ``bias``: (out,) with
    ``-in_zero * sum(weights)`` in it. ``multipliers``: one an output channel. ``before``, ``after``:
    steps that the output needs outside the window.
    """

    source: int
    target: int
    depthwise: bool
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    multipliers: tuple[Multiplier, ...]
    before: int
    after: int
    in_zero: int
    out_zero: int
    low: int
    high: int

    @property
    def kernel(self) -> int:
        return int(self.weights.shape[0 if self.depthwise else 1])


@dataclass(frozen=True)
class Sum:
    """Elementwise sum of two tensors with scales of their own."""

    sources: tuple[int, int]
    target: int
    zeros: tuple[int, int]
    factors: tuple[Multiplier, Multiplier]
    factor: Multiplier
    out_zero: int
    low: int
    high: int


Operation = Layer | Sum


@dataclass(frozen=True)
class Graph:
    """Operations in order. ``outputs``: name in the file's signature -> tensor."""

    tensors: dict[int, Tensor]
    operations: tuple[Operation, ...]
    input: int
    outputs: dict[str, int]


def layer(
    source: int,
    target: int,
    ends: tuple[Tensor, Tensor],
    weights: NDArray[np.int8],
    bias: NDArray[np.int64],
    scales: list[float],
    *,
    same: bool,
    low: int,
    high: int,
) -> Layer:
    """A convolution between the tensors ``ends``: ``weights`` as in `Layer`, (out,) ``bias`` and ``scales`` of the weights.

    ``same``: it keeps the number of steps; the spare step of an even kernel lies after. ``low``, ``high``: limits in codes.

    Raises:
        InputError: a sum may leave the bits that the kernels have for it.
    """
    x, y = ends
    depthwise = weights.ndim == 2
    kernel, axes = weights.shape[0 if depthwise else 1], 0 if depthwise else (1, 2)
    bias = bias - x.zero * weights.astype(np.int64).sum(axis=axes)
    multipliers = tuple(quantize_multiplier(x.scale * s / y.scale) for s in scales)
    largest = np.abs(bias) + 128 * np.abs(weights.astype(np.int64)).sum(axis=axes)
    left = np.array([max(m.shift, 0) for m in multipliers])
    if not (largest << left < 2**30).all():  # what rounding in `interpreter.rescale` leaves room for
        raise InputError("no C kernel for a sum beyond 30 bits", hint="its weights are too large for its input: train again")
    before, after = ((kernel - 1) // 2, kernel // 2) if same else (0, 0)
    folded = bias.astype(np.int32)
    return Layer(source, target, depthwise, weights, folded, multipliers, before, after, x.zero, y.zero, low, high)


def addition(sources: tuple[int, int], target: int, ends: tuple[Tensor, Tensor, Tensor], low: int, high: int) -> Sum:
    """Of the first two tensors of ``ends`` into the third; ``low``, ``high``: limits in codes."""
    a, b, y = ends
    twice = 2 * max(a.scale, b.scale)
    factors = quantize_multiplier(a.scale / twice), quantize_multiplier(b.scale / twice)
    factor = quantize_multiplier(twice / ((1 << LEFT_SHIFT) * y.scale))
    return Sum(sources, target, (a.zero, b.zero), factors, factor, y.zero, low, high)


def quantize_multiplier(real: float) -> Multiplier:
    """`tflite::QuantizeMultiplier`: 31 bits of mantissa, rounded half up."""
    if real == 0:
        return Multiplier(0, 0)
    mantissa, shift = frexp(real)
    value = floor(mantissa * (1 << 31) + 0.5)
    if value == 1 << 31:
        value, shift = value // 2, shift + 1
    return Multiplier(value, shift) if shift >= -31 else Multiplier(0, 0)
