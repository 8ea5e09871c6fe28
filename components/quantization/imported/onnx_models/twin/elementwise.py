"""Activations, sums and products."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.quantization.imported.onnx_models.twin.node import Array, Node
from components.quantization.imported.onnx_models.twin.value import Value, ordered, plain, unflattened

_CLOSE = 1e-6


def activation(node: Node, value: Value) -> Value:
    """Relu, LeakyRelu, Sigmoid, Tanh, HardSwish: element by element, whatever the order."""
    from keras import ops

    x = value.tensor
    made: Any = {
        "Relu": lambda: ops.relu(x),
        "LeakyRelu": lambda: ops.leaky_relu(x, node.get("alpha", 0.01)),
        "Sigmoid": lambda: ops.sigmoid(x),
        "Tanh": lambda: ops.tanh(x),
        "HardSwish": lambda: _hard_swish(x),
    }[node.kind]()
    return value.of(made, positive=node.kind in {"Relu", "Sigmoid"})


def clip(node: Node, value: Value) -> Value:
    from keras import ops

    low, high = node.number(1, "min", -np.inf), node.number(2, "max", np.inf)
    if low != 0 or (high != 6 and high < np.finfo(np.float32).max):
        raise node.refused(f"from {low:g} to {high:g}; from 0 to 6 and from 0 up are taken")
    return value.of(ops.relu6(value.tensor) if high == 6 else ops.relu(value.tensor), positive=True)


def hard_sigmoid(node: Node, value: Value) -> Value:
    """``relu6(x + 3) / 6``; a product with ``x`` is the hard swish."""
    from dataclasses import replace

    from keras import ops

    if abs(node.get("alpha", 0.2) - 1 / 6) > _CLOSE or abs(node.get("beta", 0.5) - 0.5) > _CLOSE:
        raise node.refused(f"alpha {node.get('alpha', 0.2):g} and beta {node.get('beta', 0.5):g}; 1/6 and 1/2 are taken")
    return replace(value.of(ops.relu6(value.tensor + 3.0) * (1 / 6), positive=True), gate_of=value.tensor)


def softmax(node: Node, value: Value) -> Value:
    """Over one axis, which is the last one here too; before opset 13 over all that follow, which must be one."""
    from keras import ops

    rank = len(value.order)
    axis = node.get("axis", 1 if node.opset < 13 else -1) % rank
    if node.opset < 13 and axis != rank - 1 and any(size != 1 for size in value.shape[axis + 1 :]):
        raise node.refused("over several axes")
    value = unflattened(value)
    if value.order[-1] != axis:
        value = ordered(value, (*(a for a in range(rank) if a != axis), axis))
    return value.of(ops.softmax(value.tensor, axis=-1), positive=True)


def binary(node: Node, first: Value | None, second: Value | None) -> Value:
    """Add, Sub, Mul of two tensors, or of a tensor (the other is None) and a constant; Div by a constant."""
    if first is None or second is None:
        return _with_constant(node, first, second)
    if node.kind == "Div":
        raise node.refused("by a tensor")
    if node.kind == "Mul":
        for gate, other in ((first, second), (second, first)):
            if gate.gate_of is not None and gate.gate_of is other.tensor:
                return other.of(_hard_swish(other.tensor))
    first, second = _aligned(first, second)
    return Value(_computed(node, first.tensor, second.tensor), first.order, positive=_positive(node, first, second))


def _with_constant(node: Node, first: Value | None, second: Value | None) -> Value:
    value, position = (first, 1) if first is not None else (second, 0)
    assert value is not None  # noqa: S101 - what is constant twice was computed before
    rank, array = len(value.order), node.weights(position)
    if array.ndim > rank:
        raise node.refused(f"a constant of {array.ndim} axes, a tensor of {rank}")
    array = array.reshape((1,) * (rank - array.ndim) + array.shape)
    array = array[..., value.columns] if value.columns is not None and array.shape[-1] > 1 else array.transpose(value.order)
    if node.kind == "Div":
        if position == 0 or not array.all():
            raise node.refused("of a constant, or by 0")
        return value.of(value.tensor * (1 / array).astype(np.float32))
    pair = (value.tensor, array) if position else (array, value.tensor)
    return value.of(_computed(node, *pair))


def _aligned(first: Value, second: Value) -> tuple[Value, Value]:
    from keras import ops

    if len(first.order) == len(second.order):
        larger = first if np.prod(first.shape) >= np.prod(second.shape) else second
        order = unflattened(larger).order
        return ordered(first, order), ordered(second, order)
    rank = max(len(first.order), len(second.order))
    pair = [ordered(v, plain(len(v.order))) for v in (first, second)]
    first, second = (
        Value(ops.reshape(v.tensor, (1,) * (rank - len(v.order)) + v.shape), plain(rank), positive=v.positive) for v in pair
    )
    return first, second


def _computed(node: Node, first: Any | Array, second: Any | Array) -> Any:
    from keras import ops

    return {"Add": ops.add, "Sub": ops.subtract, "Mul": ops.multiply}[node.kind](first, second)


def _positive(node: Node, first: Value, second: Value) -> bool:
    return node.kind != "Sub" and first.positive and second.positive


def _hard_swish(x: Any) -> Any:
    from keras import ops

    return x * ops.relu6(x + 3.0) * (1 / 6)
