"""Weights of fewer than eight bits as C holds them: the codes of `integers.Layer` are the same as of any other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.runtime.integers import Layer


def packed(layer: Layer) -> NDArray[np.int8]:
    """The weights of ``layer``; of 4 bits two a byte and of one bit eight, lowest first, where rows begin at whole bytes."""
    if layer.weight_bits == 8:
        return layer.weights.ravel()
    rows = layer.weights.reshape(len(layer.weights), -1)
    if layer.weight_bits == 1:
        return np.packbits(rows > 0, axis=1, bitorder="little").view(np.int8).ravel()
    even = np.pad(rows, [(0, 0), (0, rows.shape[1] % 2)]).astype(np.uint8)
    return (even[:, ::2] & 15 | even[:, 1::2] << 4).view(np.int8).ravel()
