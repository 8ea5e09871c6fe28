"""Readers of operators that work code by code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from components.quantization.targets.c99 import tables
from components.quantization.targets.c99.reading import Reading, code_of, demand, limits
from components.quantization.targets.c99.tflite import Operator
from components.runtime.fixed_point import Multiplier, narrow, quantize_multiplier
from components.runtime.integers import Curve, Grid, Operation, Product, Ramp, Softmax, Softmax16, Table, Tensor, addition

_SHARE, _SIGNED_SHARE = (1 / 256, -128), (1 / 128, 0)
"""Scale and zero point that TensorFlow Lite gives to softmax and logistic, and to tanh."""
_SHARE_16 = (1 / 32768, 0)
"""And to all three with 16 bits."""

_MOST_RATIO = 1 << 20  # of scales: codes of 9 bits stay within 30
_MOST_RATIO_16 = 1 << 13


def addition_of(reading: Reading, operator: Operator) -> Operation:
    """ADD and SUB."""
    (a, b), y = reading.ends(operator, 2)
    low, high = limits(operator, operator.options.get("FusedActivationFunction", 0), y)
    sources, target = _places(reading, operator)
    made = addition(
        sources, target, (a, b, y), low, high, grid=_grid(operator, a, b, y), sign=-1 if operator.name == "SUB" else 1
    )
    demand(operator, made.factor.shift <= 0, "an output scale far below those of the inputs")
    return made


def product_of(reading: Reading, operator: Operator) -> Operation:
    (a, b), y = reading.ends(operator, 2)
    low, high = limits(operator, operator.options.get("FusedActivationFunction", 0), y)
    factor = narrow(quantize_multiplier(a.scale * b.scale / y.scale))
    demand(operator, factor.shift <= (13 if y.bits == 8 else 0), "an output scale far below those of the inputs")
    sources, target = _places(reading, operator)
    return Product(sources, target, (a.zero, b.zero), factor, y.zero, low, high, _grid(operator, a, b, y))


def quantize_of(reading: Reading, operator: Operator) -> Operation:
    """Also from one width into the other."""
    (x,), y = reading.any_ends(operator)
    _check_unary(operator, x, y)
    if 16 in (x.bits, y.bits):
        factor = quantize_multiplier(x.scale / y.scale)
        return _ramp(reading, operator, (x, y), factor, factor, y.low)
    return _table(reading, operator, tables.requantize(x, y))


def relu_of(reading: Reading, operator: Operator) -> Operation:
    x, y = _scaled(reading, operator)
    if x.bits == 16:
        factor = quantize_multiplier(x.scale / y.scale)
        return _ramp(reading, operator, (x, y), factor, factor, max(y.low, y.zero))
    return _table(reading, operator, tables.relu(x, y))


def relu6_of(reading: Reading, operator: Operator) -> Operation:
    x, y = _unary(reading, operator)
    if x.bits == 16:
        same = quantize_multiplier(1.0)
        return _ramp(reading, operator, (x, replace(y, zero=x.zero)), same, same, x.zero, min(x.high, code_of(6.0, x)))
    return _table(reading, operator, tables.relu6(x))


def leaky_relu_of(reading: Reading, operator: Operator) -> Operation:
    x, y = _scaled(reading, operator)
    slope = float(operator.options.get("Alpha", np.nan))
    demand(operator, np.isfinite(slope), "no slope")
    demand(operator, abs(slope) * x.scale < _most_ratio(x) * y.scale, f"slope {slope}")
    if x.bits == 16:
        ratio = x.scale / y.scale
        return _ramp(reading, operator, (x, y), quantize_multiplier(ratio), tables.signed(ratio * slope), y.low)
    return _table(reading, operator, tables.leaky_relu(x, y, slope))


def logistic_of(reading: Reading, operator: Operator) -> Operation:
    x, y = _unary(reading, operator)
    if x.bits == 16:
        return _curve(reading, operator, x, y)
    demand(operator, (y.scale, y.zero) == _SHARE, "an output that is not in 1/256 from -128 on")
    return _table(reading, operator, tables.logistic(x))


def tanh_of(reading: Reading, operator: Operator) -> Operation:
    x, y = _unary(reading, operator)
    if x.bits == 16:
        return _curve(reading, operator, x, y)
    demand(operator, (y.scale, y.zero) == _SIGNED_SHARE, "an output that is not in 1/128 around 0")
    return _table(reading, operator, tables.tanh(x))


def hard_swish_of(reading: Reading, operator: Operator) -> Operation:
    x, y = _unary(reading, operator)
    demand(operator, x.bits == 8, "codes of 16 bits")
    demand(operator, tables.hard_swish_fits(x, y), "an output scale far below that of the input")
    return _table(reading, operator, tables.hard_swish(x, y))


def softmax_of(reading: Reading, operator: Operator) -> Operation:
    x, y = _unary(reading, operator)
    demand(operator, x.channels <= tables.MOST_CLASSES, f"{x.channels} classes")
    beta = float(operator.options.get("Beta", 1.0))
    if x.bits == 16:
        return _softmax16(reading, operator, x, y, beta)
    demand(operator, (y.scale, y.zero) == _SHARE, "an output that is not in 1/256 from -128 on")
    demand(
        operator,
        np.isfinite(beta) and beta * x.scale * 2**26 > 1,
        f"an input scale of {x.scale:.3g} and a beta of {beta:.3g}, too small to tell codes apart",
    )
    source, target = reading.source(operator.inputs[0]), reading.source(operator.outputs[0])
    return Softmax(source, target, x.channels, tables.exponentials(x.scale, beta))


def _softmax16(reading: Reading, operator: Operator, x: Tensor, y: Tensor, beta: float) -> Operation:
    demand(operator, (y.scale, y.zero) == _SHARE_16, "an output that is not in 1/32768 around 0")
    least, most = 2.0**-30, 2.0  # of a code in nats: below a code is nothing, above distances leave 32 bits
    demand(
        operator, np.isfinite(beta) and least < beta * x.scale < most, f"an input scale of {x.scale:.3g}, a beta of {beta:.3g}"
    )
    factor = quantize_multiplier(x.scale * beta / (10 / 65535))
    source, target = reading.source(operator.inputs[0]), reading.source(operator.outputs[0])
    return Softmax16(source, target, x.channels, factor)


def _scaled(reading: Reading, operator: Operator) -> tuple[Tensor, Tensor]:
    x, y = _unary(reading, operator)
    _check_unary(operator, x, y)
    return x, y


def _unary(reading: Reading, operator: Operator) -> tuple[Tensor, Tensor]:
    (x,), y = reading.ends(operator)
    demand(operator, x.shape == y.shape, f"{x.shape} into {y.shape}")
    return x, y


def _check_unary(operator: Operator, x: Tensor, y: Tensor) -> None:
    demand(operator, x.shape == y.shape, f"{x.shape} into {y.shape}")
    demand(operator, x.scale < _most_ratio(x) * y.scale, "an output scale far below that of the input")


def _most_ratio(x: Tensor) -> int:
    return _MOST_RATIO if x.bits == 8 else _MOST_RATIO_16


def _ramp(
    reading: Reading,
    operator: Operator,
    ends: tuple[Tensor, Tensor],
    factor: Multiplier,
    below: Multiplier,
    low: int,
    high: int | None = None,
) -> Ramp:
    x, y = ends
    source, target = reading.source(operator.inputs[0]), reading.source(operator.outputs[0])
    return Ramp(source, target, (x.zero, y.zero), narrow(factor), narrow(below), low, y.high if high is None else high)


def _curve(reading: Reading, operator: Operator, x: Tensor, y: Tensor) -> Curve:
    demand(operator, (y.scale, y.zero) == _SHARE_16, "an output that is not in 1/32768 around 0")
    multiplier, shift = tables.curve_factor(x.scale, tanh=operator.name == "TANH")
    demand(operator, multiplier * 32768 + (1 << shift) // 2 < 1 << 31, f"an input scale of {x.scale:.3g}")
    source, target = reading.source(operator.inputs[0]), reading.source(operator.outputs[0])
    return Curve(source, target, operator.name == "TANH", multiplier, shift)


def _table(reading: Reading, operator: Operator, codes: NDArray[np.int8]) -> Table:
    return Table(reading.source(operator.inputs[0]), reading.source(operator.outputs[0]), codes)


def _places(reading: Reading, operator: Operator) -> tuple[tuple[int, int], int]:
    left, right = (reading.source(i) for i in operator.inputs[:2])
    return (left, right), reading.source(operator.outputs[0])


def _grid(operator: Operator, a: Tensor, b: Tensor, y: Tensor) -> Grid:
    """Loops of a result of up to four axes, of which those that both operands walk alike are one."""
    shapes = [(1,) * (len(y.shape) - len(t.shape)) + t.shape for t in (a, b)]
    fits = all(len(s) == len(y.shape) for s in shapes) and all(
        max(m, n) == o and {m, n} <= {1, o} for m, n, o in zip(*shapes, y.shape, strict=True)
    )
    demand(operator, fits, f"{a.shape} and {b.shape} into {y.shape}")
    loops: list[tuple[int, bool, bool]] = []
    for m, n, o in zip(*shapes, y.shape, strict=True):
        if loops and loops[-1][1:] == (m == o, n == o):
            loops[-1] = (loops[-1][0] * o, *loops[-1][1:])
        elif o > 1:
            loops.append((o, m == o, n == o))
    demand(operator, len(loops) <= 4, f"{a.shape} and {b.shape} into {y.shape}")
    loops = [(1, False, False)] * (4 - len(loops)) + loops
    sizes = (loops[0][0], loops[1][0], loops[2][0], loops[3][0])
    return Grid(sizes, (_steps(loops, 1), _steps(loops, 2)))


def _steps(loops: list[tuple[int, bool, bool]], operand: int) -> tuple[int, int, int, int]:
    steps, step = [0, 0, 0, 0], 1
    for axis in (3, 2, 1, 0):
        if loops[axis][operand]:
            steps[axis], step = step, step * loops[axis][0]
    return steps[0], steps[1], steps[2], steps[3]
