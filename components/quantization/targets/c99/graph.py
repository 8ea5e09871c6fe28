"""Read an int8 .tflite into the few operations of the telemetry network, with every constant that a device needs.

Folded into the constants, exactly: the zero point of a layer's input goes into its bias, and scales become 32-bit
multipliers with shifts, by the rules of TensorFlow Lite Micro (`QuantizeMultiplier`, `CalculateActivationRangeQuantized`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, frexp
from typing import Any

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


def read_graph(data: bytes) -> Graph:
    """Parse a .tflite whose steps lie along the width.

    Raises:
        InputError: it holds an operation, a stride or a shape that the C kernels do not know.
    """
    return _Reader(data).graph()


def quantize_multiplier(real: float) -> Multiplier:
    """`tflite::QuantizeMultiplier`: 31 bits of mantissa, rounded half up."""
    if real == 0:
        return Multiplier(0, 0)
    mantissa, shift = frexp(real)
    value = floor(mantissa * (1 << 31) + 0.5)
    if value == 1 << 31:
        value, shift = value // 2, shift + 1
    return Multiplier(value, shift) if shift >= -31 else Multiplier(0, 0)


class _Reader:
    def __init__(self, data: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
        self._graph = self._model.subgraphs[0]
        self._names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
        self._alias: dict[int, int] = {}
        self._tensors: dict[int, Tensor] = {}

    def graph(self) -> Graph:
        readers: dict[str, Callable[[Any], Operation]] = {
            "CONV_2D": self._convolution,
            "DEPTHWISE_CONV_2D": self._depthwise,
            "FULLY_CONNECTED": self._dense,
            "ADD": self._sum,
        }
        entry, operations = int(self._graph.inputs[0]), []
        self._tensor(entry)
        for operator in self._graph.operators:
            code = self._model.operatorCodes[operator.opcodeIndex]
            name = self._names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            if name == "RESHAPE":
                self._alias[int(operator.outputs[0])] = self._root(int(operator.inputs[0]))
            elif name in readers:
                operations.append(readers[name](operator))
            else:
                raise InputError(f"no C kernel for operation {name}", hint=f"it has {', '.join(readers)} and RESHAPE")
        outputs = {t.name.decode(): self._root(int(t.tensorIndex)) for t in self._model.signatureDefs[0].outputs}
        return Graph(self._tensors, tuple(operations), entry, dict(sorted(outputs.items())))

    def _convolution(self, operator: Any) -> Layer:
        weights = self._constant(operator.inputs[1])
        _require(weights.shape[1] == 1, "a convolution over more than steps")
        return self._layer(operator, weights[:, 0], self._scales(operator.inputs[1], len(weights)))

    def _depthwise(self, operator: Any) -> Layer:
        weights = self._constant(operator.inputs[1])
        _require(weights.shape[1] == 1 and operator.builtinOptions.depthMultiplier == 1, "a depthwise layer that widens")
        return self._layer(operator, weights[0, 0], self._scales(operator.inputs[1], weights.shape[-1]))

    def _dense(self, operator: Any) -> Layer:
        """A convolution with a kernel of one step."""
        weights = self._constant(operator.inputs[1])
        scales = self._scales(operator.inputs[1], len(weights))
        if len(self._quantization(operator.inputs[1]).scale) == 1:
            # With one scale a tensor, TensorFlow Lite multiplies it with the input's in single precision.
            x = np.float32(self._tensor(int(operator.inputs[0])).scale)
            scales = [float(x * np.float32(s)) / float(x) for s in scales]
        return self._layer(operator, weights[:, None], scales)

    def _layer(self, operator: Any, weights: NDArray[np.int8], scales: list[float]) -> Layer:
        source, target = self._root(int(operator.inputs[0])), int(operator.outputs[0])
        x, y, options = self._tensor(source), self._tensor(target), operator.builtinOptions
        for name in ("strideW", "strideH", "dilationWFactor", "dilationHFactor"):
            _require(getattr(options, name, 1) == 1, f"{name} {getattr(options, name, 1)}")
        same = getattr(options, "padding", self._schema.Padding.VALID) == self._schema.Padding.SAME
        depthwise = weights.ndim == 2
        kernel = weights.shape[0 if depthwise else 1]
        axes = 0 if depthwise else (1, 2)
        bias = np.zeros(y.channels, np.int64)
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            bias = self._constant(operator.inputs[2]).astype(np.int64)
        bias = bias - x.zero * weights.astype(np.int64).sum(axis=axes)
        multipliers = tuple(quantize_multiplier(x.scale * s / y.scale) for s in scales)
        largest = np.abs(bias) + 128 * np.abs(weights.astype(np.int64)).sum(axis=axes)
        left = np.array([max(m.shift, 0) for m in multipliers])
        _require(bool((largest << left < 2**30).all()), "a sum beyond 30 bits")  # what rounding in `rescale` leaves room for
        low, high = self._range(options, y)
        before, after = ((kernel - 1) // 2, kernel // 2) if same else (0, 0)
        folded = bias.astype(np.int32)
        return Layer(source, target, depthwise, weights, folded, multipliers, before, after, x.zero, y.zero, low, high)

    def _sum(self, operator: Any) -> Sum:
        left, right = (self._root(int(i)) for i in operator.inputs)
        target = int(operator.outputs[0])
        a, b, y = self._tensor(left), self._tensor(right), self._tensor(target)
        _require(a.size == b.size, "an addition that broadcasts")
        twice = 2 * max(a.scale, b.scale)
        factors = quantize_multiplier(a.scale / twice), quantize_multiplier(b.scale / twice)
        factor = quantize_multiplier(twice / ((1 << LEFT_SHIFT) * y.scale))
        low, high = self._range(operator.builtinOptions, y)
        return Sum((left, right), target, (a.zero, b.zero), factors, factor, y.zero, low, high)

    def _range(self, options: Any, y: Tensor) -> tuple[int, int]:
        """Limits of the fused activation in codes."""
        kind = options.fusedActivationFunction
        _require(
            kind in {self._schema.ActivationFunctionType.NONE, self._schema.ActivationFunctionType.RELU}, f"activation {kind}"
        )
        return (max(-128, y.zero), 127) if kind == self._schema.ActivationFunctionType.RELU else (-128, 127)

    def _tensor(self, index: int) -> Tensor:
        index = self._root(index)
        if index not in self._tensors:
            shape = [int(v) for v in self._graph.tensors[index].shape]
            quantization = self._quantization(index)
            self._tensors[index] = Tensor(
                int(np.prod(shape[:-1])), shape[-1], float(quantization.scale[0]), int(quantization.zeroPoint[0])
            )
        return self._tensors[index]

    def _scales(self, index: int, channels: int) -> list[float]:
        scales = [float(s) for s in self._quantization(index).scale]
        return scales if len(scales) > 1 else scales * channels

    def _quantization(self, index: int) -> Any:
        return self._graph.tensors[int(index)].quantization

    def _constant(self, index: int) -> NDArray[Any]:
        tensor = self._graph.tensors[int(index)]
        kind = {self._schema.TensorType.INT8: np.int8, self._schema.TensorType.INT32: np.int32}[tensor.type]
        return np.frombuffer(bytes(self._model.buffers[tensor.buffer].data), kind).reshape([int(v) for v in tensor.shape])

    def _root(self, index: int) -> int:
        return self._alias.get(index, index)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise InputError(f"no C kernel for {what}", hint="build the .tflite with the Keras twin")
