"""How normal windows look to the trained encoder: residual variance, embedding density, and how to mix the two.

The mix is chosen without labels: normal windows that were held out are corrupted, and the weights that tell them
from the untouched ones with the best average precision win.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from components.models.corruption import corrupt
from components.models.scores import distance, in_unit, residual
from components.models.telemetry_electra import Encoded, Encoder, Generator
from components.runtime.scaling import MISSING_CODE
from components.training.pretrain import as_input
from components.values.model import Normal

EIGENVALUE_FLOOR = 1e-2
"""Smallest eigenvalue of the embedding covariance, as a share of the largest: bounds the whitening for int8."""
VARIANCE_FLOOR = 1e-4
MIXES = (0.0, 0.1, 0.25, 0.5)
"""Shares of the embedding distance that are tried."""
_MAX_ROWS = 8000
_BATCH = 1024


def describe_normal(
    encoder: Encoder,
    codes: NDArray[np.int8],
    fit: NDArray[np.int64],
    calibration: NDArray[np.int64],
    core: tuple[int, int],
    seed: int,
) -> Normal:
    """Statistics from the windows ``fit``; the mix, and later each artefact's threshold, from ``calibration``.

    ``core``: first step and step past the last whose residual counts.
    """
    fit = _thinned(fit)
    correction, embedding = encode(encoder, codes[fit])
    variance = _residual_variance(codes[fit], correction, encoder.architecture.input_scale, core)
    mean = embedding.mean(axis=0)
    normal = Normal(variance, mean, _whitening(embedding), (1.0, 0.0), calibration)
    mix = _best_mix(encoder, codes[_thinned(calibration)], normal, core, seed)
    return Normal(variance, mean, normal.whitening, mix, calibration)


def encode(encoder: Encoder, codes: NDArray[np.int8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(windows, steps, channels) int8 -> (correction, embedding) as arrays."""
    parts = _encode(encoder, codes)
    return np.concatenate([p.correction.numpy() for p in parts]), np.concatenate([p.embedding.numpy() for p in parts])


def predict(encoder: Encoder, codes: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
    """(windows, steps, channels) int8 -> task -> (windows,) class."""
    parts = _encode(encoder, codes)
    with torch.no_grad():
        return {
            task: np.concatenate([encoder.logits(task, p.embedding).argmax(1).numpy() for p in parts]).astype(np.int8)
            for task in encoder.heads
        }


def numbers(encoder: Encoder, codes: NDArray[np.int8]) -> dict[str, NDArray[np.float64]]:
    """(windows, steps, channels) int8 -> regression task -> (windows,) values in its unit, inside its range."""
    parts = _encode(encoder, codes)
    ranges = {h.task: h.range for h in encoder.architecture.heads if not h.classes}
    return {task: in_unit(np.concatenate([p.numbers[task].numpy() for p in parts]), span) for task, span in ranges.items()}


@torch.no_grad()
def _encode(encoder: Encoder, codes: NDArray[np.int8]) -> list[Encoded]:
    encoder.eval()
    scale = encoder.architecture.input_scale
    return [encoder(as_input(codes[i : i + _BATCH], scale)[0]) for i in range(0, len(codes), _BATCH)]


def _residual_variance(
    codes: NDArray[np.int8], correction: NDArray[np.float32], scale: float, core: tuple[int, int]
) -> NDArray[np.float32]:
    codes, correction = codes[:, slice(*core)], correction[:, slice(*core)]
    present = codes != MISSING_CODE
    squared = np.where(present, codes.astype(np.float32) * np.float32(scale) - correction, 0.0) ** 2
    variance = squared.sum(axis=(0, 1)) / np.maximum(present.sum(axis=(0, 1)), 1)
    return np.maximum(variance, VARIANCE_FLOOR).astype(np.float32)


def _whitening(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    values, vectors = np.linalg.eigh(np.cov(embedding.T.astype(np.float64)))
    values = np.maximum(values, max(float(values[-1]), 1e-12) * EIGENVALUE_FLOOR)
    return (vectors / np.sqrt(values)).T.astype(np.float32)


def _best_mix(encoder: Encoder, codes: NDArray[np.int8], normal: Normal, core: tuple[int, int], seed: int) -> tuple[float, float]:
    """Weights that make both quantities 1 on the median normal window, times the winning shares."""
    from sklearn.metrics import average_precision_score

    residuals, distances = _quantities(encoder, codes, codes, normal, core)
    broken = _corrupted(encoder, codes, seed)
    broken_residuals, broken_distances = _quantities(encoder, broken, codes, normal, core)
    typical = max(float(np.median(residuals)), 1e-6), max(float(np.median(distances)), 1e-6)
    truth = np.repeat([0, 1], len(codes))
    r = np.concatenate([residuals, broken_residuals]) / typical[0]
    d = np.concatenate([distances, broken_distances]) / typical[1]
    best = max(MIXES, key=lambda share: (average_precision_score(truth, (1 - share) * r + share * d), -share))
    return (1 - best) / typical[0], best / typical[1]


def _quantities(
    encoder: Encoder, codes: NDArray[np.int8], like: NDArray[np.int8], normal: Normal, core: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    codes = np.where(like == MISSING_CODE, MISSING_CODE, codes).astype(np.int8)
    correction, embedding = encode(encoder, codes)
    return (
        residual(codes, correction, normal.residual_variance, encoder.architecture.input_scale, core),
        distance(embedding, normal.embedding_mean, normal.whitening),
    )


@torch.no_grad()
def _corrupted(encoder: Encoder, codes: NDArray[np.int8], seed: int) -> NDArray[np.int8]:
    random = torch.Generator().manual_seed(seed + 2)
    a = encoder.architecture
    x, present = as_input(codes, a.input_scale)
    reach = 127 * a.input_scale
    broken = corrupt(x, present, Generator(a.channels, 8, reach), reach, random).window
    return np.clip(np.rint(broken.numpy() / a.input_scale), -127, 127).astype(np.int8)


def _thinned(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `_MAX_ROWS`, evenly spaced."""
    return rows if len(rows) <= _MAX_ROWS else rows[np.linspace(0, len(rows) - 1, _MAX_ROWS).astype(int)]
