"""Fixed-point arithmetic of gemmlowp and TensorFlow Lite Micro on arrays of integers.

Qk.f is a 32-bit integer with k bits before the point. Sources: gemmlowp `fixedpoint/fixedpoint.h`, TensorFlow Lite
`kernels/internal/common.h` (double rounding, as TensorFlow Lite Micro is built).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, frexp

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.int64]
LARGEST = (1 << 31) - 1
_BARREL = ((-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308), (2, 39332535), (3, 720401), (4, 242))
"""(k, exp(-2^k) in Q0.31)."""
_EXP_OF_EIGHTH, _THIRD = 1895147668, 715827883  # exp(-1/8) and 1/3 in Q0.31
_48_OVER_17, _32_OVER_17 = 1515870810, 1010580540  # in Q2.29: Newton's first guess of a reciprocal


@dataclass(frozen=True)
class Multiplier:
    """A positive real as ``value * 2^(shift - 31)``."""

    value: int
    shift: int


def quantize_multiplier(real: float) -> Multiplier:
    """`tflite::QuantizeMultiplier`: 31 bits of mantissa, rounded half up."""
    if real == 0:
        return Multiplier(0, 0)
    mantissa, shift = frexp(real)
    value = floor(mantissa * (1 << 31) + 0.5)
    if value == 1 << 31:
        value, shift = value // 2, shift + 1
    return Multiplier(value, shift) if shift >= -31 else Multiplier(0, 0)


def narrow(multiplier: Multiplier) -> Multiplier:
    """The same for values of up to 30 bits, with a shift within 30: of what is shifted further, nothing is left."""
    return Multiplier(0, -1) if multiplier.shift < -30 or not multiplier.value else multiplier


def reduced(multiplier: Multiplier) -> Multiplier:
    """The same with 15 bits of mantissa, for `rescale_long`."""
    value = (multiplier.value + (1 << 15)) >> 16 if multiplier.value < 0x7FFF0000 else 0x7FFF
    return Multiplier(value, multiplier.shift)


def rescale_long(x: Wide, multiplier: Wide, shift: Wide) -> Wide:
    """`MultiplyByQuantizedMultiplier` of sums in 64 bits: x * multiplier * 2^(shift - 15), halves up; by `reduced` ones."""
    right = 15 - np.asarray(shift)
    return np.asarray((x * multiplier + (np.int64(1) << (right - 1))) >> right)


def rescale(x: Wide, multiplier: Wide | int, shift: Wide | int) -> Wide:
    """`MultiplyByQuantizedMultiplier`: x * multiplier * 2^(shift - 31), rounded twice."""
    left, right = np.maximum(shift, 0), np.maximum(-np.asarray(shift), 0)
    return halved(times(x << left, multiplier), right)


def by(x: Wide, factor: Multiplier) -> Wide:
    return rescale(x, factor.value, factor.shift)


def times(x: Wide, y: Wide | int) -> Wide:
    """`SaturatingRoundingDoublingHighMul` of numbers that are not both -2^31."""
    return (x * y + (1 << 30)) >> 31


def halved(x: Wide, times_halved: Wide | int) -> Wide:
    """`RoundingDivideByPOT`: halves go away from zero."""
    mask = (np.int64(1) << np.asarray(times_halved)) - 1
    return np.asarray((x >> times_halved) + ((x & mask) > (mask >> 1) + (x < 0)))


def exp_of_negative(x: Wide, integer_bits: int) -> Wide:
    """Exp of ``x`` <= 0 in Q``integer_bits``, as Q0.31."""
    fraction = 31 - integer_bits
    quarter = 1 << (fraction - 2)
    near = (x & (quarter - 1)) - quarter  # in [-1/4, 0)
    result, rest = _exp_near_zero(near << integer_bits), near - x
    for power, factor in _BARREL:
        if integer_bits > power:
            result = np.where(rest & (1 << (fraction + power)), times(result, factor), result)
    return np.where(x == 0, LARGEST, result)


def reciprocal_of_one_plus(x: Wide) -> Wide:
    """1 / (1 + x) of ``x`` in [0, 1] as Q0.31, in Q0.31."""
    return _shifted(_newton(x), 1)


def logistic(x: Wide) -> Wide:
    """Of ``x`` in Q4.27, in Q0.31."""
    positive = reciprocal_of_one_plus(exp_of_negative(-np.abs(x), 4))
    return np.where(x == 0, 1 << 30, np.where(x > 0, positive, LARGEST - positive))


def tanh(x: Wide) -> Wide:
    """Of ``x`` in Q4.27, in Q0.31."""
    positive = _shifted(_newton(exp_of_negative(-np.abs(x), 5)) - (1 << 29), 2)  # the same bits are twice x in Q5.26
    return np.sign(x) * positive


def _exp_near_zero(x: Wide) -> Wide:
    """Exp of ``x`` in [-1/4, 0), Q0.31: a polynomial of degree 4 around -1/8."""
    x = x + (1 << 28)
    x2 = times(x, x)
    x3, x4 = times(x2, x), times(x2, x2)
    tail = halved(times(halved(x4, 2) + x3, _THIRD) + x2, 1)
    return _EXP_OF_EIGHTH + times(x + tail, _EXP_OF_EIGHTH)


def _newton(x: Wide) -> Wide:
    """2 / (1 + x) in Q2.29 by three steps of Newton's method."""
    half = (x + LARGEST + 1) >> 1
    y = _48_OVER_17 + times(half, -_32_OVER_17)
    for _ in range(3):
        y = y + _shifted(times(y, (1 << 29) - times(half, y)), 2)
    return y


def _shifted(x: Wide, bits: int) -> Wide:
    return np.clip(x << bits, -LARGEST - 1, LARGEST)
