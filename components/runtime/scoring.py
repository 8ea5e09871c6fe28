"""The raw score of a network: from its int8 outputs to how unusual a window is, in integers.

The network corrects its input: ``correction`` has the shape of the window, ``embedding`` sums the window up.
Two quantities measure how unusual a window is, both near 1 on normal telemetry:

* the residual, the mean over channels of ``sqrt(mean (code - correction)^2 / variance)``: a channel's mean is over its
  samples in the window's core that were not missing, its variance that of its residual on normal windows;
* the Mahalanobis distance of the embedding from normal windows, ``|W (e - mu)| / sqrt(width)`` with ``W`` a square root
  of the inverse covariance (Mahalanobis 1936; as anomaly score Lee et al., NeurIPS 2018).

The core is what has its context on both sides: there the network corrects best, and a score that speaks for fewer steps
says more exactly when. Means of roots rather than of squares let no single channel speak for all.

The raw score is the base-2 logarithm of their weighted sum; `components.runtime.surprise` calibrates it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE
from components.runtime.surprise import Calibrated, Outputs, isqrt, log2_q8


@dataclass(frozen=True)
class Quantized:
    """Scale and zero point of an int8 tensor: ``value = (q - zero) * scale``."""

    scale: float
    zero: int


@dataclass(frozen=True, kw_only=True)
class Scoring(Calibrated):
    """All integers of the score of one network artefact. Made by `quantization`, read by Python and by the C generator.

    ``residual_input`` / ``residual_output``: value of one step of input code and correction, in 2^-16.
    ``correction_zero`` / ``embedding_zero``: zero points. ``channel_weight``: 2^-8, one a channel.
    ``embedding_mean``: in 2^-4 embedding codes. ``whitening``: (width, width) rows, in 2^-``whitening_shift``.
    ``mix``: weight of residual and distance in 2^-16.
    """

    kind: ClassVar[str] = "electra"
    residual_input: int
    residual_output: int
    correction_zero: int
    channel_weight: tuple[int, ...]
    embedding_zero: int
    embedding_mean: tuple[int, ...]
    whitening: tuple[tuple[int, ...], ...]
    whitening_shift: int
    mix: tuple[int, int]

    def raw_score(self, codes: NDArray[np.int8], outputs: Outputs) -> NDArray[np.int64]:
        residual = self._residual(codes, outputs.correction)
        distance = self._distance(outputs.embedding)
        return log2_q8((residual * self.mix[0] + distance * self.mix[1]) >> 16)

    def _residual(self, codes: NDArray[np.int8], correction: NDArray[np.int8]) -> NDArray[np.int64]:
        codes, correction = codes[:, slice(*self.core)], correction[:, slice(*self.core)]
        present = codes != MISSING_CODE
        samples = present.sum(axis=1)
        difference = codes.astype(np.int64) * self.residual_input
        difference -= (correction.astype(np.int64) - self.correction_zero) * self.residual_output
        difference = np.where(present, difference >> 6, 0)  # 2^-10
        mean = (difference * difference).sum(axis=1) // np.maximum(samples, 1)  # 2^-20
        roots = isqrt((mean * np.asarray(self.channel_weight, np.int64)) >> 8)  # 2^-10
        return np.asarray(roots.sum(axis=1) // np.maximum((samples > 0).sum(axis=1), 1))

    def _distance(self, embedding: NDArray[np.int8]) -> NDArray[np.int64]:
        centred = ((embedding.astype(np.int64) - self.embedding_zero) << 4) - np.asarray(self.embedding_mean, np.int64)
        white = (centred @ np.asarray(self.whitening, np.int64).T) >> (self.whitening_shift + 4 - 10)  # 2^-10
        return isqrt((white * white).sum(axis=1) // embedding.shape[1])  # 2^-10
