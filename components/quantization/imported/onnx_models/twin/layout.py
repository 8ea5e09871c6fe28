"""What changes no number: reshape, flatten, squeeze, transpose; and what only puts tensors beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from components.quantization.imported.onnx_models.twin.node import Node
from components.quantization.imported.onnx_models.twin.value import Value, ordered, plain, unflattened


def transpose(node: Node, value: Value) -> Value:
    value = unflattened(value)
    moves = list(node.get("perm", range(len(value.order))[::-1]))
    return replace(value, order=tuple(moves.index(axis) for axis in value.order), gate_of=None)


def reshape(node: Node, value: Value, shape: tuple[int, ...] | None) -> Value:
    """Also Flatten, Squeeze and Unsqueeze. ``shape``: of the output, None where it is not known beforehand."""
    from keras import ops

    if shape is None:
        raise node.refused("the shape of its output is not fixed")
    value = unflattened(value)
    if _sizes(value.shape) == _sizes(shape):
        return _with_other_ones(value, shape)
    if len(shape) == 2 and shape[0] == 1 and value.order[0] == 0 and value.order != plain(len(value.order)):
        places = np.arange(int(np.prod(value.shape))).reshape(value.shape).transpose(value.order).ravel()
        return Value(ops.reshape(value.tensor, shape), (0, 1), places, value, positive=value.positive)
    value = ordered(value, plain(len(value.order)))
    return Value(ops.reshape(value.tensor, shape), plain(len(shape)), positive=value.positive)


def concat(node: Node, values: Sequence[Value]) -> Value:
    from keras import ops

    first = unflattened(values[0])
    same = [ordered(value, first.order) for value in values]
    tensor = ops.concatenate([value.tensor for value in same], axis=first.axis(node.get("axis", 0)))
    return first.of(tensor, positive=all(value.positive for value in values))


def pad(node: Node, value: Value) -> Value:
    """With zeros."""
    from keras import ops

    value, rank = unflattened(value), len(value.order)
    array = node.constant(1)
    pads = list(node.get("pads", [])) if array is None else array.tolist()
    if node.get("mode", "constant") != "constant" or node.number(2, "value", 0.0) or node.constant(3) is not None:
        raise node.refused("not with zeros on all axes")
    if len(pads) != 2 * rank or min(pads) < 0:
        raise node.refused("negative pads, or none")
    return value.of(ops.pad(value.tensor, [(pads[axis], pads[axis + rank]) for axis in value.order]), positive=value.positive)


def _sizes(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]


def _with_other_ones(value: Value, shape: tuple[int, ...]) -> Value:
    """Axes of size 1 come or go; the others stay in their order."""
    from keras import ops

    there = [axis for axis in sorted(value.order) if value.shape[axis] != 1]
    wanted = [axis for axis, size in enumerate(shape) if size != 1]
    places = dict(zip(there, wanted, strict=True))
    order = (*(axis for axis, size in enumerate(shape) if size == 1), *(places[axis] for axis in value.order if axis in places))
    return Value(ops.reshape(value.tensor, [shape[axis] for axis in order]), order, positive=value.positive)
