"""Read an int8 .tflite into the operations of `components.runtime.integers`, by the rules of TensorFlow Lite Micro."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.integers import Graph, Layer, Operation, Sum, Tensor, addition, layer
from components.workspace.errors import InputError


def read_graph(data: bytes) -> Graph:
    """Parse a .tflite whose steps lie along the width.

    Raises:
        InputError: it holds an operation, a stride or a shape that the C kernels do not know.
    """
    return _Reader(data).graph()


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
        bias = np.zeros(y.channels, np.int64)
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            bias = self._constant(operator.inputs[2]).astype(np.int64)
        low, high = self._range(options, y)
        return layer(source, target, (x, y), weights, bias, scales, same=same, low=low, high=high)

    def _sum(self, operator: Any) -> Sum:
        left, right = (self._root(int(i)) for i in operator.inputs)
        target = int(operator.outputs[0])
        a, b, y = self._tensor(left), self._tensor(right), self._tensor(target)
        _require(a.size == b.size, "an addition that broadcasts")
        return addition((left, right), target, (a, b, y), *self._range(operator.builtinOptions, y))

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
