"""What the channels of an ONNX graph's activations hold, measured in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.imported.onnx_models.activations import watched_values
from components.quantization.imported.onnx_models.session import Floats
from components.values.imported_onnx import Signal


@dataclass(frozen=True)
class Channels:
    """(channels,) greatest magnitude and mean; channels are the second axis, behind a batch of one."""

    reach: NDArray[np.float64]
    mean: NDArray[np.float64]


def channels_of(proto: Any, entry: Signal, rows: Floats, names: Collection[str]) -> dict[str, Channels]:
    """Of the tensors ``names`` of the folded ``proto`` over (rows, size) inputs; those with fewer than two axes have none."""
    reach: dict[str, NDArray[np.float64]] = {}
    total: dict[str, NDArray[np.float64]] = {}
    for found in watched_values(proto, entry, rows):
        for name in names:
            if name in found and found[name].ndim > 1 and len(found[name]) == 1:
                flat = found[name].reshape(found[name].shape[1], -1).astype(np.float64)
                reach[name] = np.maximum(reach.get(name, 0.0), np.abs(flat).max(axis=1))
                total[name] = total.get(name, 0.0) + flat.mean(axis=1)
    return {name: Channels(most, total[name] / len(rows)) for name, most in reach.items()}
