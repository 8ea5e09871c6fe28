"""The float reference: the trained model in numpy, which every artefact is measured against.

`components.values.model.Architecture` has the formulas of the network, `components.runtime.scoring` those of
the score; here both are computed in floating point, without any rounding to codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.models.scores import in_unit, log2_score
from components.runtime.scaling import MISSING_CODE
from components.values import Architecture, ElectraModel

Array = NDArray[np.float32]
_BATCH = 512


@dataclass(frozen=True)
class Floats:
    """Outputs of the float network. ``logits``: task -> (windows, classes); ``numbers``: task -> (windows,)."""

    correction: Array  # (windows, steps, channels), standard deviations
    embedding: Array  # (windows, width)
    logits: dict[str, Array]
    numbers: dict[str, Array]


def forward(architecture: Architecture, weights: Mapping[str, Array], codes: NDArray[np.int8]) -> Floats:
    """(windows, steps, channels) int8 codes -> float outputs, in batches that keep memory small."""
    parts = [_batch(architecture, weights, codes[i : i + _BATCH]) for i in range(0, max(len(codes), 1), _BATCH)]
    return Floats(
        np.concatenate([p.correction for p in parts]),
        np.concatenate([p.embedding for p in parts]),
        {task: np.concatenate([p.logits[task] for p in parts]) for task in parts[0].logits},
        {task: np.concatenate([p.numbers[task] for p in parts]) for task in parts[0].numbers},
    )


def values(architecture: Architecture, outputs: Floats) -> dict[str, NDArray[np.float64]]:
    """Task -> (windows,) numbers in the task's unit, inside its range."""
    ranges = {h.task: h.range for h in architecture.heads if not h.classes}
    return {t: in_unit(outputs.numbers[t], span) for t, span in ranges.items()}


def raw_score(model: ElectraModel, codes: NDArray[np.int8], outputs: Floats) -> NDArray[np.float64]:
    """(windows,) log2 of the weighted sum of residual and distance: `Scoring.raw_score` / 256 without rounding."""
    scale = model.architecture.input_scale
    return log2_score(codes, outputs.correction, outputs.embedding, model.normal, scale, model.core)


def inputs(architecture: Architecture, codes: NDArray[np.int8]) -> Array:
    """What the float network reads: codes in standard deviations, 0 where a sample is missing."""
    return np.where(codes == MISSING_CODE, 0, codes).astype(np.float32) * np.float32(architecture.input_scale)


def _batch(architecture: Architecture, weights: Mapping[str, Array], codes: NDArray[np.int8]) -> Floats:
    h = np.maximum(_conv(inputs(architecture, codes), weights["stem.weight"]) + weights["stem.bias"], 0)
    for i in range(architecture.blocks):
        name = f"block{i}"
        d = np.maximum(_depthwise(h, weights[f"{name}.depthwise.weight"]) + weights[f"{name}.depthwise.bias"], 0)
        h = np.maximum(h + d @ weights[f"{name}.pointwise.weight"][:, :, 0].T + weights[f"{name}.pointwise.bias"], 0)
    correction = h @ weights["correct.weight"][:, :, 0].T + weights["correct.bias"]
    embedding = h.mean(axis=1)
    logits = {
        head.task: embedding @ weights[f"head.{head.task}.weight"].T + weights[f"head.{head.task}.bias"]
        for head in architecture.heads
        if head.classes
    }
    numbers = {head.task: _number(weights, head.task, h) for head in architecture.heads if not head.classes}
    return Floats(correction, embedding, logits, numbers)


def _number(weights: Mapping[str, Array], task: str, h: Array) -> Array:
    summary = np.einsum("nsw,ws->nw", h, weights[f"summary.{task}.weight"][:, 0]) + weights[f"summary.{task}.bias"]
    hidden = np.maximum(summary, 0) @ weights[f"hidden.{task}.weight"].T + weights[f"hidden.{task}.bias"]
    return np.asarray((np.maximum(hidden, 0) @ weights[f"head.{task}.weight"].T + weights[f"head.{task}.bias"])[:, 0])


def _conv(x: Array, weight: Array) -> Array:
    """'Same' convolution over steps: x (n, steps, in), weight (out, in, kernel), odd kernels centred."""
    taps = [shifted @ weight[:, :, k].T for k, shifted in enumerate(_shifts(x, weight.shape[2]))]
    return np.asarray(sum(taps[1:], taps[0]))


def _depthwise(x: Array, weight: Array) -> Array:
    """'Same' depthwise convolution over steps: x (n, steps, width), weight (width, 1, kernel)."""
    taps = [shifted * weight[:, 0, k] for k, shifted in enumerate(_shifts(x, weight.shape[2]))]
    return np.asarray(sum(taps[1:], taps[0]))


def _shifts(x: Array, kernel: int) -> list[Array]:
    """``x`` under each tap of a 'same' padded kernel; the spare step of an even kernel pads the end."""
    before = (kernel - 1) // 2
    padded = np.pad(x, ((0, 0), (before, kernel - 1 - before), (0, 0)))
    return [padded[:, k : k + x.shape[1]] for k in range(kernel)]
