"""Bias correction: biases make up for the mean error that rounding the weights causes.

Rounding moves each weight by up to half a step, always the same way, so that the mean of what a layer puts out moves by
``(rounded - weight) . E[input]``. That is taken off its bias (Nagel et al., ICCV 2019, section 4.2; inputs measured on
calibration windows).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from components.models.reference import Array, inputs, tensors
from components.models.weights import bits_of, rounded
from components.values import Architecture


def corrected(
    architecture: Architecture, weights: Mapping[str, Array], codes: NDArray[np.int8], limit: int, precision: str = "int8"
) -> dict[str, Array]:
    """``weights`` with other biases. ``codes``: (windows, steps, channels); ``limit``: the largest code of a weight of 8 bits;
    ``precision``: of the recipe, which says how many bits each layer has.
    """
    found = tensors(architecture, weights, codes) | {"input": inputs(architecture, codes)}
    changed = dict(weights)
    for layer, source, whole in _layers(architecture):
        weight = weights[f"{layer}.weight"]
        moved = _moved(rounded(weight, bits_of(precision, layer), limit) - weight, found[source], whole=whole)
        changed[f"{layer}.bias"] = (changed[f"{layer}.bias"] - moved).astype(np.float32)
    return changed


def _layers(architecture: Architecture) -> list[tuple[str, str, bool]]:
    """(layer, the tensor that it reads, whether its kernel spans all steps of a window)."""
    layers, h = [("stem", "input", False)], "stem"
    for i in range(architecture.blocks):
        layers += [(f"block{i}.depthwise", h, False), (f"block{i}.pointwise", f"block{i}.depthwise", False)]
        h = f"block{i}"
    layers.append(("correct", h, False))
    for head in architecture.heads:
        if head.classes:
            layers.append((f"head.{head.task}", "embedding", False))
        else:
            summary, hidden = f"summary.{head.task}", f"hidden.{head.task}"
            layers += [(summary, h, True), (hidden, summary, False), (f"head.{head.task}", hidden, False)]
    return layers


def _moved(error: NDArray[np.float64], source: Array, *, whole: bool) -> NDArray[np.float64]:
    """(out,) by how much the mean of each output moves, of (out, in or 1[, kernel]) ``error`` in the weights."""
    if whole:
        return np.asarray((error[:, 0] * source.mean(axis=0, dtype=np.float64).T).sum(axis=1))
    mean = source.reshape(-1, source.shape[-1]).mean(axis=0, dtype=np.float64)
    taps = error if error.ndim == 2 else error.sum(axis=2)
    return np.asarray(taps[:, 0] * mean if taps.shape[1] == 1 and len(mean) > 1 else taps @ mean)
