"""The raw score of a network: from its int8 outputs to how unusual a window is, in integers.

The network corrects its input: ``correction`` has the shape of the window. The residual is the mean over channels of
``sqrt(mean (code - correction)^2 / variance)``: a channel's mean is over its samples in the window's core that were not
missing, its variance that of its residual on normal windows; so it is near 1 on normal telemetry. The raw score is its
base-2 logarithm; `components.runtime.surprise` calibrates it.

The core is what has its context on both sides: there the network corrects best, and a score that speaks for fewer steps
says more exactly when. Means of roots rather than of squares let no single channel speak for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE
from components.runtime.surprise import Calibrated, Integers, Outputs, isqrt, log2_q8
from components.runtime.wide import Joined


@dataclass(frozen=True)
class Quantized:
    """Scale and zero point of an int8 tensor: ``value = (q - zero) * scale``."""

    scale: float
    zero: int


@dataclass(frozen=True, kw_only=True)
class Scoring(Calibrated):
    """All integers of the score of one network artefact. Made by `quantization`, read by Python and by the C generator.

    ``residual_input`` / ``residual_output``: value of one step of input code and correction, in 2^-16.
    ``correction_zero``: zero point. ``channel_weight``: inverse variance in 2^-8, one a channel. ``wide``: task -> its wide part.
    """

    kind: ClassVar[str] = "electra"
    residual_input: int
    residual_output: int
    correction_zero: int
    channel_weight: tuple[int, ...]
    wide: Mapping[str, Joined] = field(default_factory=dict)

    def raw_score(self, codes: NDArray[np.int8], outputs: Outputs) -> NDArray[np.int64]:
        return log2_q8(self._residual(codes, outputs.correction))

    def logits(self, codes: NDArray[np.int8], outputs: Outputs) -> Mapping[str, Integers]:
        """int8 of the network; where it has a wide part int32 of both together, in 2^-16 nats."""
        return {**outputs.logits, **{task: one.logits(codes, outputs.logits[task]) for task, one in self.wide.items()}}

    def logit_step(self, task: str) -> int:
        return max(self.wide[task].gain, 1) if task in self.wide else 1

    def to_json(self) -> dict[str, Any]:
        return asdict(replace(self, wide={})) | {"wide": {task: one.to_json() for task, one in self.wide.items()}}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        wide = {task: Joined.from_json(one) for task, one in value.get("wide", {}).items()}
        return replace(super().from_json({key: item for key, item in value.items() if key != "wide"}), wide=wide)

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
