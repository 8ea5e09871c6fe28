"""The twin of an ONNX graph, node by node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.quantization.imported.onnx_models.folding import shapes
from components.quantization.imported.onnx_models.twin import elementwise, layers, layout, pooling
from components.quantization.imported.onnx_models.twin.node import Node
from components.quantization.imported.onnx_models.twin.value import Value, channels_last, plain, unflattened
from components.values.imported_onnx import Signal
from components.workspace.errors import InputError


@dataclass(frozen=True)
class Twin:
    """``model``: of Keras. Axis ``i`` of its input is axis ``entry[i]`` of the ONNX graph's, and so for each of its outputs."""

    model: Any
    entry: tuple[int, ...]
    exits: tuple[tuple[int, ...], ...]


def twin(proto: Any, entry: Signal) -> Twin:
    """Of the folded ``proto``: with channels last at its input where that saves transposes.

    Raises:
        InputError: an operator that has no layer here, with the name of its node.
    """
    rank = len(entry.shape)
    orders = [plain(rank), *([channels_last(rank)] if rank > 2 else [])]
    return min((_built(proto, entry, order) for order in orders), key=transposes)


def transposes(made: Twin) -> int:
    """How many are left that move numbers."""
    return sum(type(operation).__name__ == "Transpose" for operation in made.model.operations)


def _built(proto: Any, entry: Signal, order: tuple[int, ...]) -> Twin:
    import keras
    import onnx

    source = keras.Input(batch_shape=tuple(entry.shape[axis] for axis in order), dtype="float32")
    values, known = {entry.name: Value(source, order)}, shapes(proto)
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    opset = next(o.version for o in proto.opset_import if o.domain in {"", "ai.onnx"})
    for found in proto.graph.node:
        node = Node.of(found, constants, opset)
        try:
            values[node.outputs[0]] = _computed(node, values, known)
        except ValueError as error:  # what Keras or a flattened tensor does not allow
            raise node.refused(" ".join(str(error).split())[:200]) from None
    missing = [o.name for o in proto.graph.output if o.name not in values]
    if missing:
        raise InputError(f"output '{missing[0]}' does not depend on the input", hint="leave it out of the model")
    exits = [unflattened(values[output.name]) for output in proto.graph.output]
    model = keras.Model(source, [value.tensor for value in exits])
    return Twin(model, order, tuple(value.order for value in exits))


def _computed(node: Node, values: dict[str, Value], known: dict[str, tuple[int, ...]]) -> Value:
    given = [values.get(name) for name in node.inputs if name]
    if node.kind in _BINARY:
        return elementwise.binary(node, *given)
    if node.kind == "Concat":
        if any(value is None for value in given):
            raise node.refused("with a constant")
        return layout.concat(node, [value for value in given if value is not None])
    if given[0] is None:
        raise node.refused("of a constant")
    if node.kind in _RESHAPES:
        return layout.reshape(node, given[0], known.get(node.outputs[0]))
    if node.kind not in _UNARY:
        raise node.refused(f"not taken; there are {', '.join(sorted((*_BINARY, *_RESHAPES, *_UNARY, 'Concat')))}")
    return _UNARY[node.kind](node, given[0])


def _same(node: Node, value: Value) -> Value:
    return value


_BINARY = ("Add", "Sub", "Mul", "Div")
_RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
_UNARY: dict[str, Callable[[Node, Value], Value]] = {
    "Conv": layers.conv,
    "Gemm": layers.gemm,
    "MatMul": layers.matmul,
    "BatchNormalization": layers.normalisation,
    "MaxPool": pooling.pool,
    "AveragePool": pooling.pool,
    "GlobalAveragePool": pooling.reduction,
    "GlobalMaxPool": pooling.reduction,
    "ReduceMean": pooling.reduction,
    "ReduceMax": pooling.reduction,
    "Transpose": layout.transpose,
    "Pad": layout.pad,
    "Softmax": elementwise.softmax,
    "Clip": elementwise.clip,
    "HardSigmoid": elementwise.hard_sigmoid,
    "Identity": _same,
    "Dropout": _same,
    **dict.fromkeys(("Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish"), elementwise.activation),
}
