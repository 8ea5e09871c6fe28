"""Cross-layer equalisation of ONNX graphs: see `recipes.equalise`, whose factors these are.

A convolution or dense layer and the one that alone reads it qualify where nothing but operators stand between them that let
positive factors of channels through: ReLU, pooling, a flattening of the channels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.imported.onnx_models.channels import channels_of
from components.quantization.imported.onnx_models.folding import shapes
from components.quantization.imported.onnx_models.layers import Layer, layers_of, with_layers
from components.quantization.imported.onnx_models.session import Floats
from components.quantization.recipes.equalise import factors, spread
from components.values.imported_onnx import Signal

_THROUGH = {"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity"}
_FLATTENS = {"Flatten", "Reshape", "Squeeze"}


def equalised(proto: Any, entry: Signal, rows: Floats) -> Any | None:
    """The folded ``proto`` of the same function with other weights; None where no two layers qualify."""
    layers = {layer.target: layer for layer in layers_of(proto)}
    pairs = _pairs(proto, layers)
    found = channels_of(proto, entry, rows, {layers[second].source for _, second in pairs})
    changed: dict[str, Layer] = {}
    for first, second in pairs:
        before, after = (changed.get(name, layers[name]) for name in (first, second))
        if (told := found.get(after.source)) is None:
            continue
        channels = len(before.weights)
        reach = told.reach.reshape(channels, -1).max(axis=1)
        factor = _factors(after, reach)
        rows_by = 1 / factor
        changed[first] = replace(before, weights=before.weights * rows_by[:, None, None], bias=before.bias * rows_by)
        wide = np.repeat(factor, after.inputs // channels)
        changed[second] = replace(after, weights=after.weights * wide[after.reads][:, :, None])
    return with_layers(proto, changed) if changed else None


def _factors(reader: Layer, reach: NDArray[np.float64]) -> NDArray[np.float64]:
    """(channels,). A depthwise reader has a scale for each channel, so that factors cost its weights nothing."""
    if reader.weights.shape[1] == 1 and reader.inputs == len(reach):
        return spread(reach)
    most = np.zeros(reader.inputs)
    np.maximum.at(most, reader.reads, np.abs(reader.weights).max(axis=2))
    return factors(reach, most.reshape(len(reach), -1).max(axis=1))


def _pairs(proto: Any, layers: dict[str, Layer]) -> list[tuple[str, str]]:
    """Targets of (layer, the one that reads it)."""
    readers: dict[str, list[Any]] = {}
    for node in proto.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs, known = {output.name for output in proto.graph.output}, shapes(proto)
    pairs = []
    for layer in layers.values():
        tensor, channels = layer.target, len(layer.weights)
        while tensor not in outputs and len(reads := readers.get(tensor, [])) == 1 and _in_order(known.get(tensor, ()), channels):
            (node,) = reads
            if node.output[0] in layers and node.input[0] == tensor:
                if layers[node.output[0]].inputs % channels == 0:
                    pairs.append((layer.target, node.output[0]))
                break
            if node.op_type not in _THROUGH | _FLATTENS or node.input[0] != tensor or len(node.output) > 1:
                break
            tensor = node.output[0]
    return pairs


def _in_order(shape: tuple[int, ...], channels: int) -> bool:
    """Whether a tensor has the channels behind a batch of one: as they were, or each flattened with what it spans."""
    return len(shape) > 1 and shape[0] == 1 and (shape[1] == channels or (len(shape) == 2 and shape[1] % channels == 0))
