"""The score of `components.runtime.scoring` in floating point: what integer artefacts are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE
from components.values.model import Normal


def residual(
    codes: NDArray[np.int8],
    correction: NDArray[np.float32],
    variance: NDArray[np.float32],
    scale: float,
    core: tuple[int, int],
) -> NDArray[np.float64]:
    """(windows,) mean over channels of the residual's root mean square in the core, in normal standard deviations.

    Channels without a sample there take no part.
    """
    middle = slice(*core)
    present = codes[:, middle] != MISSING_CODE
    difference = np.where(present, codes[:, middle].astype(np.float32) * np.float32(scale) - correction[:, middle], 0.0)
    samples = present.sum(axis=1)
    squared = (difference * difference).sum(axis=1, dtype=np.float64) / (np.maximum(samples, 1) * variance)
    return np.asarray(np.sqrt(squared).sum(axis=1) / np.maximum((samples > 0).sum(axis=1), 1))


def distance(embedding: NDArray[np.float32], mean: NDArray[np.float32], whitening: NDArray[np.float32]) -> NDArray[np.float64]:
    """(windows,) Mahalanobis distance of the embedding over the root of its width."""
    white = (embedding - mean).astype(np.float64) @ whitening.astype(np.float64).T
    return np.asarray(np.sqrt((white * white).mean(axis=1)))


def in_unit(numbers: NDArray[np.floating[Any]], span: tuple[float, float]) -> NDArray[np.float64]:
    """(windows,) numbers from -1 to 1 -> values over the range ``span``, clipped to it."""
    low, high = span
    return np.asarray(np.clip(low + (np.asarray(numbers, np.float64) + 1) * ((high - low) / 2), low, high))


def log2_score(
    codes: NDArray[np.int8],
    correction: NDArray[np.float32],
    embedding: NDArray[np.float32],
    normal: Normal,
    scale: float,
    core: tuple[int, int],
) -> NDArray[np.float64]:
    """(windows,) base-2 logarithm of the weighted sum of both; higher is more anomalous."""
    r = residual(codes, correction, normal.residual_variance, scale, core)
    d = distance(embedding, normal.embedding_mean, normal.whitening)
    return np.asarray(np.log2(np.maximum(normal.mix[0] * r + normal.mix[1] * d, 1e-9)))
