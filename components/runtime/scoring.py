"""The raw score of a network: from its int8 outputs to how unusual a window is, in integers.

The network corrects its input: ``correction`` has the shape of the window. The residual is the mean over channels of
``sqrt(mean (code - correction)^2 / variance)``: a channel's mean is over its samples in the window's core that were not
missing, its variance that of its residual on normal windows; so it is near 1 on normal telemetry. The raw score is its
base-2 logarithm; `components.runtime.surprise` calibrates it.

The core is what has its context on both sides: there the network corrects best, and a score that speaks for fewer steps
says more exactly when. Means of roots rather than of squares let no single channel speak for all.
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
    ``correction_zero``: zero point. ``channel_weight``: inverse variance in 2^-8, one a channel.
    """

    kind: ClassVar[str] = "electra"
    residual_input: int
    residual_output: int
    correction_zero: int
    channel_weight: tuple[int, ...]

    def raw_score(self, codes: NDArray[np.int8], outputs: Outputs) -> NDArray[np.int64]:
        return log2_q8(self._residual(codes, outputs.correction))

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
