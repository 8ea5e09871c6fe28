"""Readers of operators that sweep over an image: convolutions, fully connected layers, pooling."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from components.quantization.targets.c99.reading import Reading, demand, limits
from components.quantization.targets.c99.tflite import Operator
from components.runtime.integers import Layer, Operation, Pair, Pool, Sweep, Tensor, layer

_SAME = 0  # tflite.Padding
_MOST_TAPS = 1 << 25  # that all outputs of a sweep read together: what the arithmetic in numpy holds at once
_MOST = 32767  # what the C tables hold a length along height or width in


def convolution_of(reading: Reading, operator: Operator) -> Operation:
    (x,), y = reading.ends(operator, 1, 3)
    weights = reading.constant(operator, 1, "INT8")
    demand(operator, weights.ndim == 4 and weights.shape[3] == x.channels, "weights that are not (out, height, width, in)")
    sweep = _sweep(operator, x, y, weights.shape[1:3], dilated=True)
    return _layer(reading, operator, (x, y), weights, sweep, _products(reading, operator, x, len(weights)))


def depthwise_of(reading: Reading, operator: Operator) -> Operation:
    """One input channel makes it a plain convolution, whose kernel is faster."""
    (x,), y = reading.ends(operator, 1, 3)
    weights = reading.constant(operator, 1, "INT8")
    whole = weights.ndim == 4 and weights.shape[0] == 1 and weights.shape[3] % x.channels == 0
    demand(operator, whole, "weights that are not (1, height, width, out)")
    sweep = _sweep(operator, x, y, weights.shape[1:3], dilated=True)
    products = _products(reading, operator, x, weights.shape[3])
    plain = weights.transpose(3, 1, 2, 0) if x.channels == 1 else weights[0]
    return _layer(reading, operator, (x, y), plain, sweep, products)


def dense_of(reading: Reading, operator: Operator) -> Operation:
    """A convolution over an image of one column a row of the input."""
    (x,), y = reading.ends(operator, 1, 3)
    weights = reading.constant(operator, 1, "INT8")
    demand(operator, weights.ndim == 2 and x.size % weights.shape[1] == 0, "weights that are not (out, in)")
    out, size = weights.shape
    rows = x.size // size
    demand(operator, y.size == rows * out and rows <= _MOST, f"an output of shape {y.shape}")
    demand(operator, operator.options.get("WeightsFormat", 0) == 0, "shuffled weights")
    products = _products(reading, operator, x, out)
    scales = reading.slot(operator, operator.inputs[1]).scales
    if len(scales) == 1:  # with one scale a tensor, TensorFlow Lite multiplies it with the input's in single precision
        products = [float(np.float32(x.scale) * np.float32(scales[0]))] * out
    sweep = Sweep((1, rows, size), (1, rows), (1, 1))
    return _layer(reading, operator, (x, y), weights[:, None, None], sweep, products)


def pool_of(reading: Reading, operator: Operator) -> Operation:
    (x,), y = reading.ends(operator)
    demand(operator, bool(operator.options), "no options")
    kernel = operator.options["FilterHeight"], operator.options["FilterWidth"]
    sweep = _sweep(operator, x, y, kernel, dilated=False)
    demand(operator, y.channels == x.channels, f"an output of shape {y.shape}")
    source, target = reading.source(operator.inputs[0]), reading.source(operator.outputs[0])
    low, high = limits(operator, operator.options["FusedActivationFunction"], y)
    return Pool(source, target, operator.name == "MAX_POOL_2D", sweep, low, high)


def _layer(
    reading: Reading,
    operator: Operator,
    ends: tuple[Tensor, Tensor],
    weights: NDArray[np.int8],
    sweep: Sweep,
    products: list[float],
) -> Layer:
    out = weights.shape[-1] if weights.ndim == 3 else len(weights)
    demand(operator, ends[1].channels == out, f"an output of shape {ends[1].shape}")
    bias, long = np.zeros(out, np.int64), ends[0].bits == 16
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        # Of 16 bits, TensorFlow Lite Micro sums in 64, but for a convolution whose bias has 32.
        long &= operator.name != "CONV_2D" or reading.slot(operator, operator.inputs[2]).kind == "INT64"
        bias = reading.constant(operator, 2, "INT64" if long else "INT32").astype(np.int64)
        demand(operator, bias.shape == (out,), f"a bias of shape {bias.shape}")
    low, high = limits(operator, operator.options.get("FusedActivationFunction", 0), ends[1])
    source, target = reading.source(operator.inputs[0]), reading.source(operator.outputs[0])
    return layer(source, target, ends, weights, bias, products, sweep, low=low, high=high, long=long)


def _products(reading: Reading, operator: Operator, x: Tensor, out: int) -> list[float]:
    """Scale of the sum of each output channel."""
    slot = reading.slot(operator, operator.inputs[1])
    demand(operator, len(slot.scales) in {1, out} and not any(slot.zeros), "weights without a scale, or with a zero point")
    scales = slot.scales if len(slot.scales) == out else slot.scales * out
    return [x.scale * s for s in scales]


def _sweep(operator: Operator, x: Tensor, y: Tensor, kernel: tuple[int, ...], *, dilated: bool) -> Sweep:
    """Checked against the shapes of input and output, which must be those of one image."""
    options = operator.options
    demand(operator, bool(options), "no options")
    demand(operator, len(x.shape) == len(y.shape) == 4 and x.shape[0] == y.shape[0] == 1, f"an input of shape {x.shape}")
    stride = options["StrideH"], options["StrideW"]
    dilation = (options["DilationHFactor"], options["DilationWFactor"]) if dilated else (1, 1)
    sizes = (*x.shape, *y.shape, *kernel, *stride, *dilation)
    demand(operator, all(1 <= n <= _MOST for n in sizes), f"a stride, dilation or size outside 1 to {_MOST}")
    image, size = (x.shape[1], x.shape[2], x.shape[3]), (int(kernel[0]), int(kernel[1]))
    places = [
        _along(n, k, s, d, same=options["Padding"] == _SAME) for n, k, s, d in zip(image, size, stride, dilation, strict=False)
    ]
    out: Pair = places[0][0], places[1][0]
    demand(operator, out == y.shape[1:3], f"an output of shape {y.shape}, not of {out}")
    demand(operator, prod(out) * prod(size) * image[2] <= _MOST_TAPS, "too large an image for a microcontroller")
    return Sweep(image, out, size, stride, dilation, (places[0][1], places[1][1]))


def _along(n: int, kernel: int, stride: int, dilation: int, *, same: bool) -> Pair:
    """(outputs, cells before the image) along one axis: `ComputePaddingHeightWidth`."""
    reach = (kernel - 1) * dilation + 1
    out = -(-n // stride) if same else (n - reach + stride) // stride
    return out, max((out - 1) * stride + reach - n, 0) // 2
