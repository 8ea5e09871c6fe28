"""Cross-layer equalisation: channels between two layers are brought to like ranges, and the network says the same as before.

ReLU commutes with positive factors: what one layer puts out is divided by a factor a channel, and the next layer's weights for
that channel are multiplied by it (Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV
2019). Weights have a scale for each channel that they put out, activations one for all: so the factors balance the reach of
activations against that of the weights which read them, ``sqrt(reach / weight)`` (Xiao et al., SmoothQuant, ICML 2023,
equation 4 with alpha = 1/2).

Only layers with ReLU between them and no other reader qualify: depthwise and pointwise of a block, the summary and the hidden
layer of a regression, the hidden layer and its head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.models.reference import Array, tensors
from components.values import Architecture

_MOST = 32.0
"""A factor beyond it says that a channel is all but silent."""


def equalised(architecture: Architecture, weights: Mapping[str, Array], codes: NDArray[np.int8]) -> dict[str, Array]:
    """Other ``weights`` of the same function. ``codes``: (windows, steps, channels) that show how far activations reach."""
    found = tensors(architecture, weights, codes)
    changed = dict(weights)
    for first, second in _pairs(architecture):
        reach = np.abs(found[first].reshape(-1, found[first].shape[-1])).max(axis=0)
        reader = changed[f"{second}.weight"]
        factor = factors(reach, np.abs(reader.reshape(*reader.shape[:2])).max(axis=0))
        changed[f"{first}.weight"] = _times(changed[f"{first}.weight"], 1 / factor, axis=0)
        changed[f"{first}.bias"] = (changed[f"{first}.bias"] / factor).astype(np.float32)
        changed[f"{second}.weight"] = _times(reader, factor, axis=1)
    return changed


def _pairs(architecture: Architecture) -> list[tuple[str, str]]:
    """(layer, the one that reads it)."""
    pairs = [(f"block{i}.depthwise", f"block{i}.pointwise") for i in range(architecture.blocks)]
    for head in architecture.heads:
        if not head.classes:
            pairs += [(f"summary.{head.task}", f"hidden.{head.task}"), (f"hidden.{head.task}", f"head.{head.task}")]
    return pairs


def factors(reach: NDArray[Any], weight: NDArray[Any]) -> NDArray[np.float64]:
    """(channels,) with geometric mean 1; 1 for a channel that nothing comes out of, or that nothing reads."""
    heard = (reach > 0) & (weight > 0)
    ratio = np.zeros(len(reach))
    ratio[heard] = np.sqrt(reach[heard].astype(np.float64) / weight[heard])
    return spread(ratio)


def spread(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """(channels,) of the same proportions with geometric mean 1, none of them extreme; 1 where ``ratio`` is 0."""
    heard = ratio > 0
    logs = np.zeros(len(ratio))
    logs[heard] = np.log(ratio[heard])
    if heard.any():
        logs[heard] -= logs[heard].mean()
    return np.asarray(np.exp(np.clip(logs, -np.log(_MOST), np.log(_MOST))))


def _times(weight: Array, factor: NDArray[np.float64], axis: int) -> Array:
    shape = [1] * weight.ndim
    shape[axis] = -1
    return np.asarray(weight * factor.reshape(shape), np.float32)
