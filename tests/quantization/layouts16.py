"""Random graphs of one operator each with int16 activations and int8 weights, as converters write them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.quantization.flat import Flat
from tests.quantization.layouts import ACTIVATIONS, Layout, Random, image_of, kernel_of

Built = tuple[int, int, tuple[int, ...]]


def layout(kind: str, seed: int) -> Layout:
    rng = np.random.default_rng([seed, *kind.encode()])
    flat = Flat()
    x, y, shape = KINDS[kind](flat, rng)
    return Layout(f"{kind} of 16 bits {seed}", flat.done([x], [y]), int(np.prod(shape)))


def _scale(rng: Random) -> float:
    return float(np.exp(rng.uniform(np.log(2e-5), np.log(2e-3))))


def _tensor(flat: Flat, shape: tuple[int, ...], scale: float) -> int:
    return flat.tensor(shape, scale, kind="int16")


def _weights(flat: Flat, rng: Random, shape: tuple[int, ...], scale: float, axis: int, biases: str) -> tuple[int, int, float]:
    """(weights, bias, scale of a sensible output): per channel or per tensor; ``biases``: '', or their type."""
    out = shape[axis]
    fan = int(np.prod(shape)) // out
    scales = np.exp(rng.uniform(np.log(0.001), np.log(0.02), out if rng.random() < 0.7 else 1)).astype(np.float32)
    weights = flat.constant(rng.integers(-127, 128, shape).astype(np.int8), scales, axis=axis)
    bias, most = -1, 1 << (36 if biases == "int64" and rng.random() < 0.2 else 20)
    if biases:
        bias = flat.constant(rng.integers(-most, most, out).astype(biases), np.float32(scale) * scales)
    return weights, bias, float(scale * scales.mean() * 40 * np.sqrt(fan) * np.exp(rng.uniform(-1, 1)))


def convolution(flat: Flat, rng: Random) -> Built:
    """With a bias of 64 bits, as converters give it, and with one of 32, where TensorFlow Lite Micro sums in 32."""
    shape = image_of(rng)
    scale = _scale(rng)
    x = _tensor(flat, shape, scale)
    options, kernel, out = kernel_of(rng, shape, dilated=True)
    count = int(rng.integers(1, 9))
    biases = str(rng.choice(["int64", "int64", "int32", ""]))
    weights, bias, step = _weights(flat, rng, (count, *kernel, shape[3]), scale, 0, biases)
    y = _tensor(flat, (1, *out, count), step)
    inputs = [x, weights] if bias < 0 else [x, weights, bias]
    flat.add("CONV_2D", inputs, [y], "Conv2DOptions", fusedActivationFunction=int(rng.choice(ACTIVATIONS)), **options)
    return x, y, shape


def depthwise(flat: Flat, rng: Random) -> Built:
    shape = image_of(rng, 14)
    scale = _scale(rng)
    x = _tensor(flat, shape, scale)
    options, kernel, out = kernel_of(rng, shape, dilated=True)
    factor = int(rng.choice([1, 1, 1, 2, 3, 8]))
    if shape[3] == 1:
        factor = 1
    biases = str(rng.choice(["int64", ""]))
    weights, bias, step = _weights(flat, rng, (1, *kernel, shape[3] * factor), scale, 3, biases)
    y = _tensor(flat, (1, *out, shape[3] * factor), step)
    options |= {"fusedActivationFunction": int(rng.choice(ACTIVATIONS)), "depthMultiplier": factor}
    inputs = [x, weights] if bias < 0 else [x, weights, bias]
    flat.add("DEPTHWISE_CONV_2D", inputs, [y], "DepthwiseConv2DOptions", old=True, **options)
    return x, y, shape


def dense(flat: Flat, rng: Random) -> Built:
    """Some so long that products alone take more than 32 bits."""
    rows, size, out = int(rng.integers(1, 4)), int(rng.choice([3, 17, 64, 700, 1500])), int(rng.integers(1, 20))
    scale = _scale(rng)
    x = _tensor(flat, (rows, size), scale)
    weights, bias, step = _weights(flat, rng, (out, size), scale, 0, str(rng.choice(["int64", ""])))
    y = _tensor(flat, (rows, out), step)
    activation = int(rng.choice(ACTIVATIONS))
    flat.add("FULLY_CONNECTED", [x, weights, bias], [y], "FullyConnectedOptions", fusedActivationFunction=activation)
    return x, y, (rows, size)


def pool(flat: Flat, rng: Random) -> Built:
    shape, scale = image_of(rng), _scale(rng)
    x = _tensor(flat, shape, scale)
    options, kernel, out = kernel_of(rng, shape, dilated=False)
    y = _tensor(flat, (1, *out, shape[3]), scale)
    options |= {"filterHeight": kernel[0], "filterWidth": kernel[1], "fusedActivationFunction": int(rng.choice(ACTIVATIONS))}
    flat.add("AVERAGE_POOL_2D" if rng.random() < 0.6 else "MAX_POOL_2D", [x], [y], "Pool2DOptions", **options)
    return x, y, shape


def pad(flat: Flat, rng: Random) -> Built:
    shape, scale = image_of(rng), _scale(rng)
    x = _tensor(flat, shape, scale)
    width = rng.integers(0, 4, (4, 2)).astype(np.int32)
    width[0] = 0
    y = _tensor(flat, tuple((width.sum(axis=1) + shape).tolist()), scale)
    if rng.random() < 0.5:
        flat.add("PAD", [x, flat.constant(width)], [y], "PadOptions")
    else:
        value = flat.constant(rng.integers(-32768, 32768, 1).astype(np.int16), scale)
        flat.add("PADV2", [x, flat.constant(width), value], [y], "PadV2Options")
    return x, y, shape


def elementwise(flat: Flat, rng: Random) -> Built:
    """Both operands come from the input: as it is, and by another scale, or a constant that may repeat."""
    shape, scale, other = image_of(rng), _scale(rng), _scale(rng)
    x = _tensor(flat, shape, scale)
    if rng.random() < 0.5:
        second = _tensor(flat, shape, other)
        flat.add("QUANTIZE", [x], [second], "QuantizeOptions")
    else:
        part = tuple(n if rng.random() < 0.6 else 1 for n in shape)[int(rng.integers(0, 4)) :]
        second = flat.constant(rng.integers(-32768, 32768, part).astype(np.int16), other)
    name, options = [("ADD", "AddOptions"), ("SUB", "SubOptions"), ("MUL", "MulOptions")][int(rng.integers(0, 3))]
    spread = scale * other * 20000 if name == "MUL" else max(scale, other)
    y = _tensor(flat, shape, float(spread * rng.uniform(0.3, 2)))
    order = [x, second] if rng.random() < 0.6 else [second, x]
    flat.add(name, order, [y], options, fusedActivationFunction=int(rng.choice(ACTIVATIONS)))
    return x, y, shape


def mean(flat: Flat, rng: Random) -> Built:
    shape, scale = image_of(rng), _scale(rng)
    x = _tensor(flat, shape, scale)
    axes = [(1, 2), (2, 1), (1,), (2,), (3,), (2, 3), (-3, -2)][int(rng.integers(0, 7))]
    kept = {a % 4 for a in axes}
    y = _tensor(
        flat, tuple(1 if a in kept else n for a, n in enumerate(shape)), scale * float(rng.choice([1.0, rng.uniform(0.2, 1.2)]))
    )
    flat.add("MEAN", [x, flat.constant(np.asarray(axes, np.int32))], [y], "ReducerOptions", keepDims=True)
    return x, y, shape


def join(flat: Flat, rng: Random) -> Built:
    shape, scale = image_of(rng), _scale(rng)
    x = _tensor(flat, shape, scale)
    axis = int(rng.integers(1, 4))
    size = list(shape)
    size[axis] = int(rng.integers(1, 4))
    parts = [x, flat.constant(rng.integers(-32768, 32768, size).astype(np.int16), scale)]
    y = _tensor(flat, tuple(n + size[axis] if a == axis else n for a, n in enumerate(shape)), scale)
    flat.add("CONCATENATION", [parts[i] for i in rng.permutation(2)], [y], "ConcatenationOptions", axis=axis)
    return x, y, shape


def softmax(flat: Flat, rng: Random) -> Built:
    shape = (int(rng.integers(1, 4)), int(rng.integers(1, 300)))
    x = _tensor(flat, shape, float(np.exp(rng.uniform(np.log(1e-5), np.log(3e-2)))))
    y = _tensor(flat, shape, 1 / 32768)
    flat.add("SOFTMAX", [x], [y], "SoftmaxOptions", beta=float(rng.choice([1.0, 1.0, 0.5, 2.0])))
    return x, y, shape


def transpose(flat: Flat, rng: Random) -> Built:
    shape, scale = image_of(rng), _scale(rng)
    x = _tensor(flat, shape, scale)
    order = rng.permutation(4).astype(np.int32)
    y = _tensor(flat, tuple(shape[a] for a in order), scale)
    flat.add("TRANSPOSE", [x, flat.constant(order)], [y], "TransposeOptions")
    return x, y, shape


def widths(flat: Flat, rng: Random) -> Built:
    """From 8 bits to 16, ReLU there, and back to 8."""
    shape, scale = image_of(rng), float(rng.uniform(0.01, 0.1))
    x = flat.tensor(shape, scale, int(rng.integers(-128, 128)))
    inside, after = (_tensor(flat, shape, scale / 256 * float(rng.uniform(0.8, 1.2))) for _ in range(2))
    y = flat.tensor(shape, scale * float(rng.uniform(0.5, 1.5)), int(rng.integers(-128, 128)))
    flat.add("QUANTIZE", [x], [inside], "QuantizeOptions")
    flat.add("RELU", [inside], [after])
    flat.add("QUANTIZE", [after], [y], "QuantizeOptions")
    return x, y, shape


def function(name: str, options: str = "") -> Callable[[Flat, Random], Built]:
    """One code in, one out: thousands at once."""

    def build(flat: Flat, rng: Random) -> Built:
        shape, scale = (1, 4096), _scale(rng)
        fixed = {"LOGISTIC", "TANH"}
        if name in fixed and rng.random() < 0.5:
            scale = float(2.0 ** rng.integers(-16, -8))
        x = _tensor(flat, shape, scale)
        y = _tensor(flat, shape, 1 / 32768 if name in fixed else scale * float(rng.uniform(0.5, 1.5)))
        fields = {"alpha": float(rng.uniform(-0.3, 0.9))} if name == "LEAKY_RELU" else {}
        flat.add(name, [x], [y], options, **fields)
        return x, y, shape

    return build


FUNCTIONS = {
    "QUANTIZE": "QuantizeOptions",
    "LOGISTIC": "",
    "TANH": "",
    "LEAKY_RELU": "LeakyReluOptions",
    "RELU": "",
    "RELU6": "",
}
KINDS: dict[str, Callable[[Flat, Random], Built]] = {
    "convolution": convolution,
    "depthwise": depthwise,
    "dense": dense,
    "pool": pool,
    "pad": pad,
    "elementwise": elementwise,
    "mean": mean,
    "join": join,
    "softmax": softmax,
    "transpose": transpose,
    "widths": widths,
} | {name: function(name, options) for name, options in FUNCTIONS.items()}
