"""Bias correction of ONNX graphs: see `recipes.correct`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from components.models.weights import weight_scales
from components.quantization.imported.onnx_models.channels import channels_of
from components.quantization.imported.onnx_models.layers import Layer, Weights, layers_of, with_layers
from components.quantization.imported.onnx_models.session import Floats
from components.quantization.targets.onnx_runtime import WEIGHT_LIMIT
from components.values.imported_onnx import Signal


def corrected(proto: Any, entry: Signal, rows: Floats) -> Any | None:
    """The folded ``proto`` with biases that make up for rounded weights; None where it has no layer."""
    layers = layers_of(proto)
    found = channels_of(proto, entry, rows, {layer.source for layer in layers})
    changed = {
        layer.target: replace(layer, bias=layer.bias - _moved(layer, found[layer.source].mean))
        for layer in layers
        if layer.source in found and len(found[layer.source].mean) == layer.inputs
    }
    return with_layers(proto, changed) if changed else None


def _moved(layer: Layer, mean: Weights) -> Weights:
    """(out,) by how much the mean of each output moves."""
    out = len(layer.weights)
    scales = weight_scales(layer.weights.astype(np.float32), WEIGHT_LIMIT)
    flat = layer.weights.reshape(out, -1)
    rounded = np.rint(flat / scales[:, None]) * scales[:, None]
    error = (rounded - flat).reshape(layer.weights.shape).sum(axis=2)
    return np.asarray((error * mean[layer.reads]).sum(axis=1))
