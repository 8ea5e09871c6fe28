"""How normal windows look to the trained encoder, and what it says of windows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from components.models.scores import in_unit
from components.models.telemetry_electra import Encoded, Encoder
from components.runtime.scaling import MISSING_CODE
from components.training.pretrain import as_input
from components.values.model import Normal

VARIANCE_FLOOR = 1e-4
_MAX_ROWS = 8000
_BATCH = 1024


def describe_normal(
    encoder: Encoder,
    codes: NDArray[np.int8],
    types: NDArray[np.int64],
    fit: NDArray[np.int64],
    calibration: NDArray[np.int64],
    core: tuple[int, int],
) -> Normal:
    """Statistics from the windows ``fit``; every artefact takes its threshold from ``calibration``.

    ``types``: (windows,) of `Architecture.positions`. ``core``: first step and step past the last whose residual counts.
    """
    fit = thinned(fit)
    correction, _ = encode(encoder, codes[fit], types[fit])
    return Normal(residual_variance(codes[fit], correction, encoder.architecture.input_scale, core), calibration)


def encode(
    encoder: Encoder, codes: NDArray[np.int8], types: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(windows, steps, channels) int8 -> (correction, embedding) as arrays.

    ``types``, here and below: (windows,) of `Architecture.positions`; None: all unknown.
    """
    parts = _encode(encoder, codes, types)
    return np.concatenate([p.correction.numpy() for p in parts]), np.concatenate([p.embedding.numpy() for p in parts])


def predict(encoder: Encoder, codes: NDArray[np.int8], types: NDArray[np.int64] | None = None) -> dict[str, NDArray[np.int8]]:
    """(windows, steps, channels) int8 -> task -> (windows,) class."""
    return {task: found.argmax(axis=1).astype(np.int8) for task, found in logits(encoder, codes, types).items()}


def logits(encoder: Encoder, codes: NDArray[np.int8], types: NDArray[np.int64] | None = None) -> dict[str, NDArray[np.float64]]:
    """(windows, steps, channels) int8 -> task -> (windows, classes) of the network and of its wide part together."""
    parts = _encode(encoder, codes, types)
    with torch.no_grad():
        deep = {task: torch.cat([encoder.logits(task, p.embedding) for p in parts]).numpy() for task in encoder.heads}
    wide = {task: part.nats(codes) for task, part in encoder.wide.items()}
    return {task: found.astype(np.float64) + wide.get(task, 0.0) for task, found in deep.items()}


def numbers(encoder: Encoder, codes: NDArray[np.int8], types: NDArray[np.int64] | None = None) -> dict[str, NDArray[np.float64]]:
    """(windows, steps, channels) int8 -> regression task -> (windows,) values in its unit, inside its range."""
    parts = _encode(encoder, codes, types)
    ranges = {h.task: h.range for h in encoder.architecture.heads if not h.classes}
    return {task: in_unit(np.concatenate([p.numbers[task].numpy() for p in parts]), span) for task, span in ranges.items()}


@torch.no_grad()
def _encode(encoder: Encoder, codes: NDArray[np.int8], types: NDArray[np.int64] | None) -> list[Encoded]:
    encoder.eval()
    scale, batches = encoder.architecture.input_scale, [slice(i, i + _BATCH) for i in range(0, len(codes), _BATCH)]
    return [encoder(*as_input(codes[some], scale), None if types is None else types[some]) for some in batches]


def residual_variance(
    codes: NDArray[np.int8], correction: NDArray[np.float32], scale: float, core: tuple[int, int]
) -> NDArray[np.float32]:
    codes, correction = codes[:, slice(*core)], correction[:, slice(*core)]
    present = codes != MISSING_CODE
    squared = np.where(present, codes.astype(np.float32) * np.float32(scale) - correction, 0.0) ** 2
    variance = squared.sum(axis=(0, 1)) / np.maximum(present.sum(axis=(0, 1)), 1)
    return np.maximum(variance, VARIANCE_FLOOR).astype(np.float32)


def thinned(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `_MAX_ROWS`, evenly spaced."""
    return rows if len(rows) <= _MAX_ROWS else rows[np.linspace(0, len(rows) - 1, _MAX_ROWS).astype(int)]
