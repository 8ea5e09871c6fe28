"""The score of `components.runtime.scoring` in floating point: what integer artefacts are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE
from components.values.model import Normal

_LEAST = 2.0**-10  # what integers resolve


def log2_score(
    codes: NDArray[np.int8], correction: NDArray[np.float32], normal: Normal, scale: float, core: tuple[int, int]
) -> NDArray[np.float64]:
    """(windows,) base-2 logarithm of the residual: the mean over channels of its root mean square in the core, in normal
    standard deviations. Channels without a sample there take no part; higher is more anomalous.
    """
    middle = slice(*core)
    present = codes[:, middle] != MISSING_CODE
    difference = np.where(present, codes[:, middle].astype(np.float32) * np.float32(scale) - correction[:, middle], 0.0)
    samples = present.sum(axis=1)
    squared = (difference * difference).sum(axis=1, dtype=np.float64) / (np.maximum(samples, 1) * normal.residual_variance)
    residual = np.sqrt(squared).sum(axis=1) / np.maximum((samples > 0).sum(axis=1), 1)
    return np.asarray(np.log2(np.maximum(residual, _LEAST)))


def in_unit(numbers: NDArray[np.floating[Any]], span: tuple[float, float]) -> NDArray[np.float64]:
    """(windows,) numbers from -1 to 1 -> values over the range ``span``, clipped to it."""
    low, high = span
    return np.asarray(np.clip(low + (np.asarray(numbers, np.float64) + 1) * ((high - low) / 2), low, high))
