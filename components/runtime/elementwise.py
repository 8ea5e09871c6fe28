"""Elementwise operations and softmax of `components.runtime.integers` in numpy."""

from __future__ import annotations

import numpy as np

from components.runtime.fixed_point import Wide, by, halved, reciprocal_of_one_plus, times
from components.runtime.integers import LEFT_SHIFT, Codes, Grid, Product, Softmax, Sum

_ACCUMULATED = 12  # bits before the point in the sum of a softmax


def quantized_sum(operation: Sum, sources: list[Codes]) -> Codes:
    left, right = (
        by(x - zero << LEFT_SHIFT, factor)
        for x, zero, factor in zip(_spread(operation.grid, sources), operation.zeros, operation.factors, strict=True)
    )
    return _clamp(by(left + operation.sign * right, operation.factor), operation)


def product(operation: Product, sources: list[Codes]) -> Codes:
    left, right = (x - zero for x, zero in zip(_spread(operation.grid, sources), operation.zeros, strict=True))
    return _clamp(by(left * right, operation.factor), operation)


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


def _spread(grid: Grid, sources: list[Codes]) -> list[Wide]:
    """Both operands as (rows, *sizes of the grid)."""
    views = (
        np.lib.stride_tricks.as_strided(x, (len(x), *grid.sizes), (x.strides[0], *steps), writeable=False)
        for x, steps in zip(sources, grid.steps, strict=True)
    )
    return [view.astype(np.int64) for view in views]


def _clamp(x: Wide, operation: Sum | Product) -> Codes:
    return np.clip(x + operation.out_zero, operation.low, operation.high).astype(np.int8)
