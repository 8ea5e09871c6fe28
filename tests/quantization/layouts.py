"""Random int8 graphs of one operator each, as converters write them: shapes, strides, scales, zero points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.quantization.flat import Flat

ACTIVATIONS = (0, 1, 2, 3)
Random = np.random.Generator


@dataclass(frozen=True)
class Layout:
    """A .tflite file with one input and one output."""

    name: str
    data: bytes
    size: int


def layout(kind: str, seed: int) -> Layout:
    rng = np.random.default_rng([seed, *kind.encode()])
    flat = Flat()
    x, y, shape = KINDS[kind](flat, rng)
    return Layout(f"{kind} {seed}", flat.done([x], [y]), int(np.prod(shape)))


def _scale(rng: Random) -> float:
    return float(np.exp(rng.uniform(np.log(0.004), np.log(0.3))))


def _zero(rng: Random) -> int:
    return int(rng.integers(-128, 128))


def _entry(flat: Flat, rng: Random, shape: tuple[int, ...]) -> tuple[int, float]:
    scale = _scale(rng)
    return flat.tensor(shape, scale, _zero(rng)), scale


def image_of(rng: Random, channels: int = 9) -> tuple[int, int, int, int]:
    return 1, int(rng.integers(1, 12)), int(rng.integers(1, 12)), int(rng.integers(1, channels))


def kernel_of(rng: Random, shape: tuple[int, ...], *, dilated: bool) -> tuple[dict[str, int], tuple[int, int], tuple[int, int]]:
    """(options, kernel, output height and width) that fit an image of ``shape``."""
    padding = int(rng.integers(0, 2))
    stride = rng.integers(1, 4, 2).tolist()
    dilation = rng.integers(1, 3, 2).tolist() if dilated and rng.random() < 0.3 else [1, 1]
    kernel, out = [], []
    for n, s, d in zip(shape[1:3], stride, dilation, strict=True):
        most = min(5, n if padding == 0 else (n - 1) // d + 1)
        k = int(rng.integers(1, most + 1))
        reach = (k - 1) * d + 1
        kernel.append(k)
        out.append(-(-n // s) if padding == 0 else (n - reach + s) // s)
    options = {"padding": padding, "strideH": stride[0], "strideW": stride[1]}
    if dilated:
        options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    return options, (kernel[0], kernel[1]), (out[0], out[1])


def _weights(flat: Flat, rng: Random, shape: tuple[int, ...], scale: float, axis: int) -> tuple[int, int, float]:
    """(weights, bias, scale of a sensible output): per channel or per tensor, with and without a bias."""
    out = shape[axis]
    fan = int(np.prod(shape)) // out
    scales = np.exp(rng.uniform(np.log(0.001), np.log(0.02), out if rng.random() < 0.7 else 1)).astype(np.float32)
    weights = flat.constant(rng.integers(-127, 128, shape).astype(np.int8), scales, axis=axis)
    bias = -1
    if rng.random() < 0.8:
        bias = flat.constant(rng.integers(-3000, 3000, out).astype(np.int32), np.float32(scale) * scales)
    return weights, bias, float(scale * scales.mean() * 40 * np.sqrt(fan) * np.exp(rng.uniform(-1, 1)))


def convolution(flat: Flat, rng: Random) -> tuple[int, int, tuple[int, ...]]:
    shape = image_of(rng)
    x, scale = _entry(flat, rng, shape)
    options, kernel, out = kernel_of(rng, shape, dilated=True)
    count = int(rng.integers(1, 9))
    weights, bias, step = _weights(flat, rng, (count, *kernel, shape[3]), scale, 0)
    y = flat.tensor((1, *out, count), step, _zero(rng))
    activation = int(rng.choice(ACTIVATIONS))
    flat.add("CONV_2D", [x, weights, bias], [y], "Conv2DOptions", fusedActivationFunction=activation, **options)
    return x, y, shape


def depthwise(flat: Flat, rng: Random) -> tuple[int, int, tuple[int, ...]]:
    shape = image_of(rng, 14)
    x, scale = _entry(flat, rng, shape)
    options, kernel, out = kernel_of(rng, shape, dilated=True)
    factor = int(rng.choice([1, 1, 1, 2, 3, 8]))
    weights, bias, step = _weights(flat, rng, (1, *kernel, shape[3] * factor), scale, 3)
    y = flat.tensor((1, *out, shape[3] * factor), step, _zero(rng))
    options |= {"fusedActivationFunction": int(rng.choice(ACTIVATIONS)), "depthMultiplier": factor}
    inputs = [x, weights] if bias < 0 else [x, weights, bias]  # TFLM reads a third one that is left out
    flat.add("DEPTHWISE_CONV_2D", inputs, [y], "DepthwiseConv2DOptions", old=True, **options)
    return x, y, shape


def dense(flat: Flat, rng: Random) -> tuple[int, int, tuple[int, ...]]:
    rows, size, out = (int(rng.integers(1, n)) for n in (4, 70, 20))
    shape = (rows, size) if rng.random() < 0.7 else (rows, 1, size)
    x, scale = _entry(flat, rng, shape)
    weights, bias, step = _weights(flat, rng, (out, size), scale, 0)
    y = flat.tensor((rows, out), step, _zero(rng))
    activation = int(rng.choice(ACTIVATIONS))
    flat.add("FULLY_CONNECTED", [x, weights, bias], [y], "FullyConnectedOptions", fusedActivationFunction=activation)
    return x, y, shape


def pool(flat: Flat, rng: Random) -> tuple[int, int, tuple[int, ...]]:
    shape = image_of(rng)
    scale, zero = _scale(rng), _zero(rng)
    x = flat.tensor(shape, scale, zero)
    options, kernel, out = kernel_of(rng, shape, dilated=False)
    y = flat.tensor((1, *out, shape[3]), scale, zero)
    options |= {"filterHeight": kernel[0], "filterWidth": kernel[1], "fusedActivationFunction": int(rng.choice(ACTIVATIONS))}
    flat.add("AVERAGE_POOL_2D" if rng.random() < 0.6 else "MAX_POOL_2D", [x], [y], "Pool2DOptions", **options)
    return x, y, shape


def pad(flat: Flat, rng: Random) -> tuple[int, int, tuple[int, ...]]:
    shape = image_of(rng)[int(rng.integers(0, 3)) :]
    scale, zero = _scale(rng), _zero(rng)
    x = flat.tensor(shape, scale, zero)
    width = rng.integers(0, 4, (len(shape), 2)).astype(np.int32)
    width[:-1] *= rng.random() < 0.9
    if len(shape) == 4:
        width[0] = 0
    y = flat.tensor(tuple((width.sum(axis=1) + shape).tolist()), scale, zero)
    paddings = flat.constant(width)
    if rng.random() < 0.5:
        flat.add("PAD", [x, paddings], [y], "PadOptions")
    else:
        value = flat.constant(np.asarray([_zero(rng)], np.int8), scale, zero)
        flat.add("PADV2", [x, paddings, value], [y], "PadV2Options")
    return x, y, shape


def elementwise(flat: Flat, rng: Random) -> tuple[int, int, tuple[int, ...]]:
    """Both operands come from the input: as it is, and by another scale, or a constant that may repeat."""
    shape = image_of(rng)
    x, scale = _entry(flat, rng, shape)
    other = _scale(rng)
    if rng.random() < 0.5:
        second = flat.tensor(shape, other, _zero(rng))
        flat.add("QUANTIZE", [x], [second], "QuantizeOptions")
    else:
        part = tuple(n if rng.random() < 0.6 else 1 for n in shape)[int(rng.integers(0, 4)) :]
        second = flat.constant(rng.integers(-128, 128, part).astype(np.int8), other, _zero(rng))
    name, options = [("ADD", "AddOptions"), ("SUB", "SubOptions"), ("MUL", "MulOptions")][int(rng.integers(0, 3))]
    spread = scale * other * 100 if name == "MUL" else max(scale, other)
    y = flat.tensor(shape, float(spread * rng.uniform(0.3, 2)), _zero(rng))
    order = [x, second] if rng.random() < 0.6 else [second, x]
    flat.add(name, order, [y], options, fusedActivationFunction=int(rng.choice(ACTIVATIONS)))
    return x, y, shape


def reduction(flat: Flat, rng: Random) -> tuple[int, int, tuple[int, ...]]:
    shape = image_of(rng)
    scale, zero = _scale(rng), _zero(rng)
    x = flat.tensor(shape, scale, zero)
    axes = [(1, 2), (2, 1), (1,), (2,), (3,), (2, 3), (-3, -2)][int(rng.integers(0, 7))]
    keep = bool(rng.random() < 0.5)
    kept = {a % 4 for a in axes}
    out = tuple(1 if a in kept else n for a, n in enumerate(shape) if keep or a not in kept)
    index = flat.constant(np.asarray(axes, np.int32))
    if rng.random() < 0.7:
        y = flat.tensor(out, scale * float(rng.uniform(0.2, 1.2)) if rng.random() < 0.7 else scale, _zero(rng))
        flat.add("MEAN", [x, index], [y], "ReducerOptions", keepDims=keep)
    else:
        y = flat.tensor(out, scale, zero)
        flat.add("REDUCE_MAX", [x, index], [y], "ReducerOptions", keepDims=keep)
    return x, y, shape


def join(flat: Flat, rng: Random) -> tuple[int, int, tuple[int, ...]]:
    shape = image_of(rng)
    scale, zero = _scale(rng), _zero(rng)
    x = flat.tensor(shape, scale, zero)
    axis = int(rng.integers(-3, 4)) or 3
    parts, length = [x], shape[axis]
    for _ in range(int(rng.integers(1, 3))):
        size = list(shape)
        size[axis] = int(rng.integers(1, 4))
        length += size[axis]
        parts.append(flat.constant(rng.integers(-128, 128, size).astype(np.int8), scale, zero))
    out = list(shape)
    out[axis] = length
    y = flat.tensor(tuple(out), scale, zero)
    flat.add("CONCATENATION", [parts[i] for i in rng.permutation(len(parts))], [y], "ConcatenationOptions", axis=axis)
    return x, y, shape


def transpose(flat: Flat, rng: Random) -> tuple[int, int, tuple[int, ...]]:
    shape = image_of(rng)[int(rng.integers(0, 3)) :]
    scale, zero = _scale(rng), _zero(rng)
    x = flat.tensor(shape, scale, zero)
    order = rng.permutation(len(shape)).astype(np.int32)
    y = flat.tensor(tuple(shape[a] for a in order), scale, zero)
    flat.add("TRANSPOSE", [x, flat.constant(order)], [y], "TransposeOptions")
    return x, y, shape


def strided_slice(flat: Flat, rng: Random) -> tuple[int, int, tuple[int, ...]]:
    """Begins and ends from either side, masks, strides, and axes of which one place is taken."""
    shape = image_of(rng)
    scale, zero = _scale(rng), _zero(rng)
    x = flat.tensor(shape, scale, zero)
    begin = [int(rng.integers(0, n)) for n in shape]
    end = [int(rng.integers(b + 1, n + 1)) for b, n in zip(begin, shape, strict=True)]
    stride = [int(s) for s in rng.integers(1, 3, 4)]
    masks = {"beginMask": int(rng.integers(0, 16)), "endMask": int(rng.integers(0, 16)), "shrinkAxisMask": 0}
    if rng.random() < 0.3:
        masks["shrinkAxisMask"] = 1 << int(rng.integers(1, 4))
    out = []
    for a, n in enumerate(shape):
        if masks["shrinkAxisMask"] >> a & 1:
            masks["beginMask"] &= ~(1 << a)
            stride[a] = 1
            continue
        first, last = (0 if masks["beginMask"] >> a & 1 else begin[a]), (n if masks["endMask"] >> a & 1 else end[a])
        out.append(len(range(first, last, stride[a])))
    if rng.random() < 0.5:
        begin = [b - n for b, n in zip(begin, shape, strict=True)]
    y = flat.tensor(tuple(out), scale, zero)
    bounds = [flat.constant(np.asarray(v, np.int32)) for v in (begin, end, stride)]
    flat.add("STRIDED_SLICE", [x, *bounds], [y], "StridedSliceOptions", **masks)
    return x, y, shape


def split(flat: Flat, rng: Random) -> tuple[int, int, tuple[int, ...]]:
    """Into parts, of which the first and the last are put together again."""
    count, axis, shape = int(rng.integers(2, 4)), int(rng.integers(1, 4)), list(image_of(rng, 4))
    shape[axis] *= count
    scale, zero = _scale(rng), _zero(rng)
    x = flat.tensor(tuple(shape), scale, zero)
    part = tuple(n // count if a == axis else n for a, n in enumerate(shape))
    parts = [flat.tensor(part, scale, zero) for _ in range(count)]
    place = flat.constant(np.asarray(axis - 4 if rng.random() < 0.3 else axis, np.int32))
    flat.add("SPLIT", [place, x], parts, "SplitOptions", numSplits=count)
    y = flat.tensor(tuple(2 * n if a == axis else n for a, n in enumerate(part)), scale, zero)
    flat.add("CONCATENATION", [parts[-1], parts[0]], [y], "ConcatenationOptions", axis=axis)
    return x, y, tuple(shape)


def softmax(flat: Flat, rng: Random) -> tuple[int, int, tuple[int, ...]]:
    shape = (int(rng.integers(1, 4)), int(rng.integers(1, 20)))
    x = flat.tensor(shape, float(np.exp(rng.uniform(np.log(0.003), np.log(1.0)))), _zero(rng))
    y = flat.tensor(shape, 1 / 256, -128)
    flat.add("SOFTMAX", [x], [y], "SoftmaxOptions", beta=float(rng.choice([1.0, 1.0, 0.5, 2.0])))
    return x, y, shape


def function(name: str, options: str = "") -> Callable[[Flat, Random], tuple[int, int, tuple[int, ...]]]:
    """One code in, one out: all 256 at once."""

    def build(flat: Flat, rng: Random) -> tuple[int, int, tuple[int, ...]]:
        shape = (1, 256)
        scale = float(np.exp(rng.uniform(np.log(0.005), np.log(0.2))))
        x = flat.tensor(shape, scale, _zero(rng))
        fixed = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
        step, zero = fixed.get(name, (scale * float(rng.uniform(0.5, 1.5)), _zero(rng)))
        y = flat.tensor(shape, step, zero)
        fields = {"alpha": float(rng.uniform(0.01, 0.9))} if name == "LEAKY_RELU" else {}
        flat.add(name, [x], [y], options, **fields)
        return x, y, shape

    return build


FUNCTIONS = {
    "QUANTIZE": "QuantizeOptions",
    "LOGISTIC": "",
    "TANH": "",
    "HARD_SWISH": "HardSwishOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "RELU": "",
    "RELU6": "",
}
KINDS: dict[str, Callable[[Flat, Random], tuple[int, int, tuple[int, ...]]]] = {
    "convolution": convolution,
    "depthwise": depthwise,
    "dense": dense,
    "pool": pool,
    "pad": pad,
    "elementwise": elementwise,
    "reduction": reduction,
    "join": join,
    "softmax": softmax,
    "transpose": transpose,
    "slice": strided_slice,
    "split": split,
} | {name: function(name, options) for name, options in FUNCTIONS.items()}
