"""A tensor of the twin with the order of its axes.

ONNX puts channels first, TensorFlow last. Axis ``i`` of a twin's tensor is axis ``order[i]`` of the ONNX tensor: a transpose
changes the order only, and a convolution asks for the one it needs. What is flattened in another order than ONNX would is
remembered by ``columns``, and the dense layer that follows permutes its weights instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Value:
    """``columns``: (size,) place in the ONNX tensor of each element of a flattened one; None: the same place. ``flat``: what was
    flattened. ``gate_of``: what this is the hard sigmoid of. ``positive``: nothing in it is below 0.
    """

    tensor: Any
    order: tuple[int, ...]
    columns: NDArray[np.int64] | None = None
    flat: Value | None = None
    gate_of: Any = None
    positive: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the ONNX tensor."""
        sizes = [0] * len(self.order)
        for axis, size in zip(self.order, self.tensor.shape, strict=True):
            sizes[axis] = int(size)
        return tuple(sizes)

    def axis(self, onnx_axis: int) -> int:
        """Where an axis of the ONNX tensor is; negative ones count from the end."""
        return self.order.index(onnx_axis % len(self.order))

    def of(self, tensor: Any, *, positive: bool = False) -> Value:
        """Another tensor with the same axes."""
        return replace(self, tensor=tensor, flat=None, gate_of=None, positive=positive)


def plain(rank: int) -> tuple[int, ...]:
    return tuple(range(rank))


def channels_last(rank: int) -> tuple[int, ...]:
    return (0, *range(2, rank), 1)


def ordered(value: Value, order: tuple[int, ...]) -> Value:
    """The same tensor with its axes in ``order``: a reshape where only axes of size 1 move, else a transpose."""
    from keras import ops

    value = unflattened(value)
    if value.order == order:
        return value
    moves = [value.order.index(axis) for axis in order]
    kept = [m for m in moves if value.tensor.shape[m] != 1]
    if kept == sorted(kept):
        tensor = ops.reshape(value.tensor, [value.tensor.shape[m] for m in moves])
    else:
        tensor = ops.transpose(value.tensor, moves)
    return replace(value, tensor=tensor, order=order, gate_of=None)


def unflattened(value: Value) -> Value:
    """With ONNX's order within a flattened tensor.

    Raises:
        ValueError: nothing is known of how it was before.
    """
    from keras import ops

    if value.columns is None:
        return value
    if value.flat is None:
        raise ValueError("reads a flattened tensor whose channels are last; only a dense layer can")
    before = ordered(value.flat, plain(len(value.flat.order)))
    return Value(ops.reshape(before.tensor, value.tensor.shape), value.order, positive=value.positive)
