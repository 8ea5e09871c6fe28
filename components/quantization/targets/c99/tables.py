"""Functions of one int8 code as tables of all 256, by the fixed-point rules of TensorFlow Lite Micro.

Sources: `reference_integer_ops::Logistic` and `Tanh`, `reference_ops::HardSwish`, `QuantizeLeakyRelu`, `ReluQuantized`,
`Requantize` and `PreprocessSoftmaxScaling` of TensorFlow Lite.
"""

from __future__ import annotations

from math import floor, frexp, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.targets.c99.reading import code_of
from components.runtime import fixed_point
from components.runtime.fixed_point import Multiplier, Wide, by, halved, quantize_multiplier
from components.runtime.integers import Tensor

MOST_CLASSES = 4096
"""Of a softmax: more could overflow the 12 bits that its sum has before the point."""
_CODES = np.arange(-128, 128, dtype=np.int64)
Codes = NDArray[np.int8]
_INTEGER_BITS = 4  # before the point in the argument of logistic and tanh


def requantize(x: Tensor, y: Tensor) -> Codes:
    return _clamped(by(_CODES - x.zero, quantize_multiplier(x.scale / y.scale)) + y.zero)


def relu(x: Tensor, y: Tensor) -> Codes:
    scaled = by(_CODES - x.zero, quantize_multiplier(_ratio(x.scale, y.scale))) + y.zero
    return _clamped(scaled, low=max(-128, y.zero))


def relu6(x: Tensor) -> Codes:
    """Keeps the scale of the input, as TensorFlow Lite Micro does."""
    return _clamped(_CODES, low=x.zero, high=min(127, code_of(6.0, x)))


def leaky_relu(x: Tensor, y: Tensor, slope: float) -> Codes:
    value, ratio = _CODES - x.zero, _ratio(x.scale, y.scale)
    below = signed(_ratio(float(np.float32(x.scale) * np.float32(slope)), y.scale))
    return _clamped(np.where(value >= 0, by(value, quantize_multiplier(ratio)), by(value, below)) + y.zero)


def signed(real: float) -> Multiplier:
    """`QuantizeMultiplier` of a slope that may be negative."""
    factor = quantize_multiplier(abs(real))
    return factor if real >= 0 else Multiplier(-factor.value, factor.shift)


def curve_factor(scale: float, *, tanh: bool) -> tuple[int, int]:
    """(multiplier, shift) of int16 codes for the table of logistic and tanh: `SigmoidPrepare`, `TanhPrepare`."""
    left = 12 + round(log2(scale))
    if 2.0 ** (left - 12) == scale and left in ((0, 1) if tanh else (0,)):
        return 3 << left, 0
    multiplier, shift = scale * 4096 * 3, 0
    while multiplier <= 32767 / 2 and shift <= 30:
        multiplier, shift = multiplier * 2, shift + 1
    return int(multiplier), shift


def logistic(x: Tensor) -> Codes:
    scaled, beyond = _argument(x)
    shares = halved(fixed_point.logistic(np.where(beyond, 0, scaled)), 23) - 128
    return _clamped(np.where(beyond, np.where(x.zero < _CODES, 127, -128), shares))


def tanh(x: Tensor) -> Codes:
    scaled, beyond = _argument(x)
    codes = halved(fixed_point.tanh(np.where(beyond, 0, scaled)), 24)
    return _clamped(np.where(beyond, np.where(x.zero < _CODES, 127, -128), codes))


def hard_swish_fits(x: Tensor, y: Tensor) -> bool:
    return _swish_factors(x, y)[0].shift <= 0


def hard_swish(x: Tensor, y: Tensor) -> Codes:
    """In 16 bits throughout."""
    output, relu_like = _swish_factors(x, y)
    value = (_CODES - x.zero) << 7
    scaled = _high16(value, output.value)
    gate = value
    if relu_like.shift > 0:
        gate = _saturated16(gate << (relu_like.shift - 1))
    gate = _high16(gate, relu_like.value)
    gate = _saturated16(gate << 1) if relu_like.shift > 0 else halved(gate, min(-relu_like.shift, 31))
    gate = (gate + (1 << 15)) >> 1
    product = gate * scaled
    swished = np.sign(product) * (np.abs(product) >> 15)  # towards zero
    return _clamped(halved(swished, min(-output.shift, 31)) + y.zero)


def exponentials(scale: float, beta: float) -> NDArray[np.int32]:
    """exp(-d * beta * scale) in Q0.31 of d = 0 to 255 codes, 0 from where softmax takes nothing into account."""
    factor = quantize_multiplier(min(beta * scale * (1 << 26), (1 << 31) - 1.0))
    least = _radius(5, factor.shift)
    distance = np.arange(256, dtype=np.int64)
    near = distance <= least
    exps = fixed_point.exp_of_negative(by(-np.where(near, distance, 0), factor), 5)
    return np.where(near, exps, 0).astype(np.int32)


def _argument(x: Tensor) -> tuple[Wide, NDArray[np.bool_]]:
    """Codes as Q4.27, and whether they lie beyond its range."""
    mantissa, shift = frexp(x.scale * (1 << (31 - _INTEGER_BITS)))
    factor = Multiplier(floor(mantissa * (1 << 31) + 0.5), shift)
    value = _CODES - x.zero
    beyond = np.abs(value) >= _radius(_INTEGER_BITS, shift)
    return by(np.where(beyond, 0, value), factor), beyond


def _radius(integer_bits: int, shift: int) -> int:
    """`CalculateInputRadius`: from where on an input leaves its fixed-point range."""
    return floor(((1 << integer_bits) - 1) * 2.0 ** (31 - integer_bits) / 2.0**shift)


def _swish_factors(x: Tensor, y: Tensor) -> tuple[Multiplier, Multiplier]:
    """Of the output and of the gate, with values in 16 bits."""
    fine = np.float32(1 / 128) * np.float32(x.scale)
    made = [quantize_multiplier(float(fine / np.float32(s))) for s in (y.scale, np.float32(3) / np.float32(32768))]
    output, gate = (Multiplier(_in16(m.value), m.shift) for m in made)
    return output, gate


def _in16(value: int) -> int:
    """`DownScaleInt32ToInt16Multiplier`."""
    return (1 << 15) - 1 if value >= (1 << 31) - 1 - (1 << 15) else (value + (1 << 15)) >> 16


def _high16(x: Wide, multiplier: int) -> Wide:
    """`SaturatingRoundingDoublingHighMul` of 16 bits, halves up."""
    return (x * multiplier + (1 << 14)) >> 15


def _saturated16(x: Wide) -> Wide:
    return np.clip(x, -(1 << 15), (1 << 15) - 1)


def _ratio(a: float, b: float) -> float:
    """In single precision."""
    return float(np.float32(a) / np.float32(b))


def _clamped(codes: NDArray[Any], low: int = -128, high: int = 127) -> Codes:
    return np.clip(codes, low, high).astype(np.int8)
