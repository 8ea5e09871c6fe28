"""Elementwise operations and softmax of `components.runtime.integers` in numpy."""

from __future__ import annotations

import numpy as np

from components.runtime.fixed_point import Wide, by, halved, reciprocal_of_one_plus, times
from components.runtime.integers import Codes, Curve, Grid, Product, Ramp, Softmax, Softmax16, Sum
from components.runtime.lookup import EXP, RECIPROCAL, SIGMOID, looked_up

_ACCUMULATED = 12  # bits before the point in the sum of a softmax


def quantized_sum(operation: Sum, sources: list[Codes]) -> Wide:
    left, right = (
        by(x - zero << operation.headroom, factor)
        for x, zero, factor in zip(_spread(operation.grid, sources), operation.zeros, operation.factors, strict=True)
    )
    return _clamp(by(left + operation.sign * right, operation.factor), operation)


def product(operation: Product, sources: list[Codes]) -> Wide:
    left, right = (x - zero for x, zero in zip(_spread(operation.grid, sources), operation.zeros, strict=True))
    return _clamp(by(left * right, operation.factor), operation)


def ramp(operation: Ramp, sources: list[Codes]) -> Wide:
    value = sources[0].astype(np.int64) - operation.zeros[0]
    scaled = np.where(value >= 0, by(value, operation.factor), by(value, operation.below))
    return np.clip(scaled + operation.zeros[1], operation.low, operation.high)


def curve(operation: Curve, sources: list[Codes]) -> Wide:
    """`reference_integer_ops::Logistic` and `Tanh` of int16."""
    around = (1 << operation.shift) >> 1
    x = (sources[0].astype(np.int64) * operation.multiplier + around) >> operation.shift
    bits = 8 if operation.tanh else 9
    place, rest = np.abs(x) >> bits, np.abs(x) & ((1 << bits) - 1)
    near = np.minimum(place, 254)
    shares = (SIGMOID[near] << bits) + rest * (SIGMOID[near + 1] - SIGMOID[near])
    if operation.tanh:
        shares = np.where(place >= 255, 0xFFFF << 8, shares)
        return np.asarray(np.where(x >= 0, shares - (1 << 23) + 128, -shares + (1 << 23) + 127) >> 8)
    shares = np.where(place >= 255, 0x7FFF << 10, shares)
    return np.asarray(np.where(x >= 0, shares + 512, (1 << 25) - shares + 511) >> 10)


def softmax(operation: Softmax, sources: list[Codes]) -> Codes:
    """`reference_ops::Softmax` of int8: exponentials from a table, one reciprocal a row."""
    x = sources[0].reshape(-1, operation.classes).astype(np.int64)
    exps = operation.exps.astype(np.int64)[x.max(axis=1, keepdims=True) - x]
    total = halved(exps, _ACCUMULATED).sum(axis=1, keepdims=True)
    headroom = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    scale = reciprocal_of_one_plus((total << headroom) - (1 << 31))
    shares = halved(times(exps, scale), _ACCUMULATED - headroom + 31 - 8)
    codes = np.where(exps > 0, np.clip(shares - 128, -128, 127), -128)
    return codes.astype(np.int8)


def softmax16(operation: Softmax16, sources: list[Codes]) -> Wide:
    """`SoftmaxInt16`: exponentials and the reciprocal of their sum from tables."""
    x = sources[0].reshape(-1, operation.classes).astype(np.int64)
    distance = by(x - x.max(axis=1, keepdims=True), operation.factor) + 32767
    exps = looked_up(np.clip(distance, -32768, 32767), EXP)
    total = exps.sum(axis=1, keepdims=True)
    headroom = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    beyond_one = ((total << (headroom - 1)) + (1 << 13) >> 14) - (1 << 15) - (1 << 16)
    scale = looked_up(np.clip(beyond_one, -32768, 32767), RECIPROCAL)
    right = 31 - headroom
    return np.clip((exps * scale + (np.int64(1) << (right - 1))) >> right, 0, 32767)


def _spread(grid: Grid, sources: list[Codes]) -> list[Wide]:
    """Both operands as (rows, *sizes of the grid)."""
    views = (
        np.lib.stride_tricks.as_strided(
            x, (len(x), *grid.sizes), (x.strides[0], *(s * x.itemsize for s in steps)), writeable=False
        )
        for x, steps in zip(sources, grid.steps, strict=True)
    )
    return [view.astype(np.int64) for view in views]


def _clamp(x: Wide, operation: Sum | Product) -> Wide:
    return np.clip(x + operation.out_zero, operation.low, operation.high)
