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
from components.runtime.presence import entry
from components.values import Architecture, ElectraModel
from components.values.architecture import TYPES

Array = NDArray[np.float32]
_BATCH = 512


@dataclass(frozen=True)
class Floats:
    """Outputs of the float network. ``logits``: task -> (windows, classes); ``numbers``: task -> (windows,)."""

    correction: Array  # (windows, steps, channels), standard deviations
    embedding: Array  # (windows, width)
    logits: dict[str, Array]
    numbers: dict[str, Array]


def forward(
    architecture: Architecture, weights: Mapping[str, Array], codes: NDArray[np.int8], types: NDArray[np.int64] | None = None
) -> Floats:
    """(windows, steps, channels) int8 codes -> float outputs, in batches that keep memory small.

    ``types``: (windows,) of `Architecture.positions`; None: all unknown.
    """
    types = np.full(len(codes), -1) if types is None else types
    batches = [slice(start, start + _BATCH) for start in range(0, max(len(codes), 1), _BATCH)]
    parts = [_batch(architecture, weights, codes[some], types[some]) for some in batches]
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
    """(windows,) log2 of the residual: `Scoring.raw_score` / 256 - 10 without rounding."""
    scale = model.architecture.input_scale
    return log2_score(codes, outputs.correction, model.normal, scale, model.core)


def inputs(architecture: Architecture, codes: NDArray[np.int8]) -> Array:
    """(windows, steps, inputs) that the float network reads: those of `runtime.presence` in standard deviations."""
    return entry(codes, architecture.optional).astype(np.float32) * np.float32(architecture.input_scale)


def _batch(architecture: Architecture, weights: Mapping[str, Array], codes: NDArray[np.int8], types: NDArray[np.int64]) -> Floats:
    found, heads = tensors(architecture, weights, codes, types), architecture.heads
    logits = {head.task: found[head.output] for head in heads if head.classes}
    numbers = {head.task: found[head.output][:, 0] for head in heads if not head.classes}
    return Floats(found["correction"], found["embedding"], logits, numbers)


def tensors(
    architecture: Architecture, weights: Mapping[str, Array], codes: NDArray[np.int8], types: NDArray[np.int64] | None = None
) -> dict[str, Array]:
    """The outputs, and what the layers put out, by the names of their weights; of a block's sum, what it is before and, under
    the name of the block, after its activation.
    """
    found = {"stem": np.maximum(_conv(inputs(architecture, codes), weights["stem.weight"]) + _stem_bias(weights, types), 0)}
    h = found["stem"]
    for i in range(architecture.blocks):
        name = f"block{i}"
        d = np.maximum(_depthwise(h, weights[f"{name}.depthwise.weight"]) + weights[f"{name}.depthwise.bias"], 0)
        p = d @ weights[f"{name}.pointwise.weight"][:, :, 0].T + weights[f"{name}.pointwise.bias"]
        total = h + p
        h = np.maximum(total, 0)
        found |= {f"{name}.depthwise": d, f"{name}.pointwise": p, f"{name}.sum": total, name: h}
    found["correction"] = h @ weights["correct.weight"][:, :, 0].T + weights["correct.bias"]
    found["embedding"] = h.mean(axis=1)
    for head in architecture.heads:
        source = found["embedding"]
        if not head.classes:
            summary, hidden = f"summary.{head.task}", f"hidden.{head.task}"
            found[summary] = np.maximum(_summary(h, weights[f"{summary}.weight"]) + weights[f"{summary}.bias"], 0)
            found[hidden] = np.maximum(_dense(weights, hidden, found[summary]), 0)
            source = found[hidden]
        found[head.output] = _dense(weights, f"head.{head.task}", source)
    return found


def _stem_bias(weights: Mapping[str, Array], types: NDArray[np.int64] | None) -> Array:
    """(width,), or (windows, 1, width) of a network that knows types."""
    if TYPES not in weights or types is None:
        return weights["stem.bias"]
    vectors = weights[TYPES]
    return np.asarray(weights["stem.bias"] + np.vstack([vectors, np.zeros_like(vectors[:1])])[types][:, None])


def _summary(h: Array, weight: Array) -> Array:
    """Depthwise over all steps: h (n, steps, width), weight (width, 1, steps) -> (n, width)."""
    return np.einsum("nsw,ws->nw", h, weight[:, 0])


def _dense(weights: Mapping[str, Array], name: str, x: Array) -> Array:
    return np.asarray(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])


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
