"""Pooling over windows and over whole axes."""

from __future__ import annotations

from dataclasses import replace

from components.quantization.imported.onnx_models.twin.node import Node
from components.quantization.imported.onnx_models.twin.padding import padded, window
from components.quantization.imported.onnx_models.twin.value import Value, channels_last, ordered


def pool(node: Node, value: Value) -> Value:
    """MaxPool and AveragePool over one or two spatial axes."""
    from keras import layers

    largest, kernel = node.kind == "MaxPool", tuple(node.get("kernel_shape", ()))
    if len(kernel) not in {1, 2} or len([name for name in node.outputs if name]) > 1:
        raise node.refused("not over 1 or 2 spatial axes, or with indices")
    value = ordered(value, channels_last(len(kernel) + 2))
    over = window(node, value.shape[2:], kernel)
    if max(over.dilations) > 1:
        raise node.refused("dilations")
    counted = bool(node.get("count_include_pad", 0))
    mode, tensor = over.mode, value.tensor
    if not mode or (mode == "same" and counted and not largest):
        if not (value.positive if largest else counted):
            raise node.refused("pads that are neither TensorFlow's SAME nor zeros which change nothing")
        mode, tensor = "valid", padded(value, over.sides)
    kinds = {
        (True, 1): layers.MaxPooling1D,
        (True, 2): layers.MaxPooling2D,
        (False, 1): layers.AveragePooling1D,
        (False, 2): layers.AveragePooling2D,
    }
    one = len(kernel) == 1
    layer = kinds[largest, len(kernel)](kernel[0] if one else kernel, over.strides[0] if one else over.strides, padding=mode)
    return value.of(layer(tensor), positive=value.positive)


def reduction(node: Node, value: Value) -> Value:
    """ReduceMean, ReduceMax and the global poolings: over axes that are not the batch."""
    from keras import ops

    rank, whole = len(value.order), node.kind.startswith("Global")
    axes = tuple(range(2, rank)) if whole else node.axes(rank)
    if axes is None and node.get("noop_with_empty_axes", 0):
        return value
    if axes is None or 0 in axes or value.columns is not None:
        raise node.refused("over the batch, or of a flattened tensor")
    kept = bool(whole or node.get("keepdims", 1))
    compute = ops.mean if node.kind in {"ReduceMean", "GlobalAveragePool"} else ops.max
    made = value.of(compute(value.tensor, axis=sorted(value.axis(a) for a in axes), keepdims=True), positive=value.positive)
    if kept:
        return made
    left = [axis for axis in made.order if axis not in axes]
    order = tuple(sorted(left).index(axis) for axis in left)
    tensor = ops.reshape(made.tensor, [s for axis, s in zip(made.order, made.tensor.shape, strict=True) if axis in left])
    return replace(made, tensor=tensor, order=order)
