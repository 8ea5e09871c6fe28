"""Convolutions, dense layers and normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.imported.onnx_models.twin.node import Node
from components.quantization.imported.onnx_models.twin.padding import padded, window
from components.quantization.imported.onnx_models.twin.value import Value, channels_last, ordered, plain


def conv(node: Node, value: Value) -> Value:
    """Of one group, or depthwise; over one or two spatial axes."""
    weights, groups = node.weights(1), int(node.get("group", 1))
    rank, channels = weights.ndim, value.shape[1]
    if rank not in {3, 4}:
        raise node.refused(f"over {rank - 2} spatial axes; 1 and 2 are taken")
    if groups not in {1, channels}:
        raise node.refused(f"{groups} groups of {channels} channels; 1 group and depthwise ones are taken")
    value = ordered(value, channels_last(rank))
    over = window(node, value.shape[2:], weights.shape[2:])
    if max(over.strides) > 1 and max(over.dilations) > 1:
        raise node.refused("strides and dilations at once")
    depthwise = groups > 1
    if depthwise and len(set(over.strides)) > 1:
        raise node.refused(f"depthwise with strides {list(over.strides)}; equal ones are taken")
    tensor = value.tensor if over.mode else padded(value, over.sides)
    about = {"strides": over.strides, "dilation_rate": over.dilations, "padding": over.mode or "valid"}
    layer, kernel = _depthwise(weights, channels, about) if depthwise else _convolution(weights, about)
    return value.of(_applied(layer, tensor, kernel, node.constant(2), len(weights)))


def gemm(node: Node, value: Value) -> Value:
    if node.get("transA", 0):
        raise node.refused("transA")
    weights = node.weights(1).T if node.get("transB", 0) else node.weights(1)
    bias = node.constant(2)
    scaled = None if bias is None else np.float32(node.get("beta", 1.0)) * bias
    return _dense(value, np.float32(node.get("alpha", 1.0)) * weights, scaled)


def matmul(node: Node, value: Value) -> Value:
    """By a constant matrix, over the last axis."""
    if node.inputs[0] in node.constants or node.weights(1).ndim != 2:
        raise node.refused("not by a constant matrix on the right")
    return _dense(value, node.weights(1), None)


def normalisation(node: Node, value: Value) -> Value:
    """Of a batch: fixed factors and terms a channel."""
    factor, term, mean, variance = (node.weights(i) for i in (1, 2, 3, 4))
    factor = factor / np.sqrt(variance + np.float32(node.get("epsilon", 1e-5)))
    value = ordered(value, channels_last(len(value.order)))
    return value.of(value.tensor * factor + (term - mean * factor))


def _convolution(weights: NDArray[np.float32], about: dict[str, Any]) -> tuple[Any, NDArray[np.float32]]:
    from keras import layers

    kind = layers.Conv1D if weights.ndim == 3 else layers.Conv2D
    return kind(len(weights), weights.shape[2:], **about), weights.transpose(*range(2, weights.ndim), 1, 0)


def _depthwise(weights: NDArray[np.float32], channels: int, about: dict[str, Any]) -> tuple[Any, NDArray[np.float32]]:
    from keras import layers

    times = len(weights) // channels
    kind, kernel = (
        (layers.DepthwiseConv1D, weights.shape[2]) if weights.ndim == 3 else (layers.DepthwiseConv2D, weights.shape[2:])
    )
    one = {name: about[name][0] if name != "padding" and weights.ndim == 3 else about[name] for name in about}
    grouped = weights.reshape(channels, times, *weights.shape[2:])
    return kind(kernel, depth_multiplier=times, **one), grouped.transpose(*range(2, grouped.ndim), 0, 1)


def _dense(value: Value, weights: NDArray[np.float32], bias: NDArray[Any] | None) -> Value:
    """(in, out) ``weights`` over the last ONNX axis."""
    from keras import layers, ops

    rank = len(value.order)
    if value.columns is not None:
        weights = weights[value.columns]
    elif value.order[-1] != rank - 1:
        value = ordered(value, plain(rank))
    *before, last = value.tensor.shape
    tensor = value.tensor if rank == 2 else ops.reshape(value.tensor, (-1, last))
    made = _applied(layers.Dense(weights.shape[1]), tensor, weights, bias, weights.shape[1])
    return Value(made if rank == 2 else ops.reshape(made, (*before, weights.shape[1])), value.order)


def _applied(layer: Any, tensor: Any, kernel: NDArray[np.float32], bias: NDArray[Any] | None, size: int) -> Any:
    made = layer(tensor)
    full = np.zeros(size, np.float32) if bias is None else np.broadcast_to(np.asarray(bias, np.float32).reshape(-1), size)
    layer.set_weights([np.ascontiguousarray(kernel), full])
    return made
