"""A small classifier as converters write it, with random weights: what a user brings along."""

from __future__ import annotations

import numpy as np

from tests.quantization.flat import Flat

SIZE, CLASSES = 8 * 6 * 2, ("up", "down", "still")


def classifier(ends: str = "int8", *, wide: int = 8) -> bytes:
    """(1, 8, 6, 2) through a convolution, a depthwise one, a mean, a dense layer and softmax; ``ends``: type of both ends."""
    rng, flat = np.random.default_rng(3), Flat()

    def weights(shape: tuple[int, ...], axis: int) -> int:
        return flat.constant(rng.integers(-127, 128, shape).astype(np.int8), rng.uniform(0.002, 0.01, shape[axis]), axis=axis)

    def bias(size: int) -> int:
        return flat.constant(rng.integers(-500, 500, size).astype(np.int32))

    x = flat.tensor((1, 8, 6, 2), 0.05, -3, name="image")
    first, second = flat.tensor((1, 4, 3, wide), 0.04, -128), flat.tensor((1, 4, 3, wide), 0.06, -128)
    mean, scores = flat.tensor((1, wide), 0.05, -128), flat.tensor((1, 3), 0.08, 5)
    y = flat.tensor((1, 3), 1 / 256, -128, name="StatefulPartitionedCall:0")
    swept = {"padding": 0, "dilationHFactor": 1, "dilationWFactor": 1, "fusedActivationFunction": 1}
    flat.add("CONV_2D", [x, weights((wide, 3, 3, 2), 0), bias(wide)], [first], "Conv2DOptions", strideH=2, strideW=2, **swept)
    inputs = [first, weights((1, 3, 3, wide), 3), bias(wide)]
    flat.add("DEPTHWISE_CONV_2D", inputs, [second], "DepthwiseConv2DOptions", strideH=1, strideW=1, depthMultiplier=1, **swept)
    flat.add("MEAN", [second, flat.constant(np.asarray([1, 2], np.int32))], [mean], "ReducerOptions", keepDims=False)
    flat.add("FULLY_CONNECTED", [mean, weights((3, wide), 0), bias(3)], [scores], "FullyConnectedOptions")
    flat.add("SOFTMAX", [scores], [y], "SoftmaxOptions", beta=1.0)
    if ends == "int8":
        return flat.done([x], [y])
    floats = ends == "float32"
    entry = flat.tensor((1, 8, 6, 2), None if floats else 0.05, 125, kind=ends, name="image")
    out = flat.tensor((1, 3), None if floats else 1 / 256, 0, kind=ends, name="shares")
    flat.add("QUANTIZE", [entry], [x], "QuantizeOptions", first=True)
    flat.add("DEQUANTIZE" if floats else "QUANTIZE", [y], [out])
    return flat.done([entry], [out])
