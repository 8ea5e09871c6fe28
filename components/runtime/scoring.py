"""From the network's int8 outputs to a calibrated score, an alarm and class decisions, in integers.

The network corrects its input: ``correction`` has the shape of the window, ``embedding`` sums the window up.
Two quantities measure how unusual a window is, both near 1 on normal telemetry:

* the residual, the mean over samples that were not missing of ``(code - correction)^2`` weighted by the inverse
  variance that the channel's residual has on normal windows;
* the Mahalanobis distance of the embedding from normal windows, ``|W (e - mu)|^2 / width`` with ``W`` a square root
  of the inverse covariance (Mahalanobis 1936; as anomaly score Lee et al., NeurIPS 2018).

Their weighted sum goes through a base-2 logarithm and a piecewise linear table that holds the quantiles of normal
windows. The result is in 1/256 bits of surprise: 256 * -log2(share of normal windows that score at least as high),
extrapolated past the last quantile. An alarm is raised after ``raise_after`` windows in a row at or above the
threshold and cleared after ``clear_after`` below it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE

LOG2_TABLE = tuple(round(256 * float(np.log2(1 + i / 256))) for i in range(256))
"""256 * log2(1 + i/256), the fraction of `log2_q8`."""

_MAX_BITS_Q8 = 65535


@dataclass(frozen=True)
class Outputs:
    """What the network put out: int8, with windows first. ``logits`` has one array a task that has classes."""

    correction: NDArray[np.int8]  # (windows, steps, channels)
    embedding: NDArray[np.int8]  # (windows, width)
    logits: dict[str, NDArray[np.int8]]  # (windows, classes)


@dataclass(frozen=True)
class Quantized:
    """Scale and zero point of an int8 tensor: ``value = (q - zero) * scale``."""

    scale: float
    zero: int


@dataclass(frozen=True)
class Verdict:
    """What a user sees for each window: surprise in 1/256 bits, and the class of each task."""

    surprise: NDArray[np.int32]  # (windows,)
    classes: dict[str, NDArray[np.int8]]  # (windows,)


@dataclass(frozen=True)
class Scoring:
    """All integers of the score of one artefact. Made by `quantization`, read by Python and by the C generator.

    ``residual_input`` / ``residual_output``: value of one step of input code and correction, in 2^-16.
    ``correction_zero`` / ``embedding_zero``: zero points. ``channel_weight``: 2^-8, one a channel.
    ``embedding_mean``: in 2^-4 embedding codes. ``whitening``: (width, width) rows, in 2^-``whitening_shift``.
    ``mix``: weight of residual and distance in 2^-16. ``knots``: pairs (256*log2 of the sum, surprise), rising.
    """

    residual_input: int
    residual_output: int
    correction_zero: int
    channel_weight: tuple[int, ...]
    embedding_zero: int
    embedding_mean: tuple[int, ...]
    whitening: tuple[tuple[int, ...], ...]
    whitening_shift: int
    mix: tuple[int, int]
    knots: tuple[tuple[int, int], ...]
    threshold: int
    raise_after: int
    clear_after: int

    def verdict(self, codes: NDArray[np.int8], outputs: Outputs) -> Verdict:
        """(windows, steps, channels) int8 codes and the network's outputs -> surprise and classes."""
        surprise = self.surprise(self.raw_score(codes, outputs))
        return Verdict(surprise, {task: logits.argmax(axis=1).astype(np.int8) for task, logits in outputs.logits.items()})

    def raw_score(self, codes: NDArray[np.int8], outputs: Outputs) -> NDArray[np.int64]:
        """256*log2 of the weighted sum, before the table."""
        residual = self._residual(codes, outputs.correction)
        distance = self._distance(outputs.embedding)
        return log2_q8((residual * self.mix[0] + distance * self.mix[1]) >> 16)

    def surprise(self, raw_score: NDArray[np.int64]) -> NDArray[np.int32]:
        """Piecewise linear through ``knots``; the first and the last slope go on outside."""
        x = np.asarray([k[0] for k in self.knots], np.int64)
        y = np.asarray([k[1] for k in self.knots], np.int64)
        i = np.clip(np.searchsorted(x, raw_score, side="right") - 1, 0, len(x) - 2)
        bits = y[i] + (raw_score - x[i]) * (y[i + 1] - y[i]) // (x[i + 1] - x[i])
        return np.clip(bits, 0, _MAX_BITS_Q8).astype(np.int32)

    def alarms(self, surprise: NDArray[np.int32]) -> NDArray[np.bool_]:
        """One device's windows in time order -> whether the alarm stands after each of them."""
        above = surprise >= self.threshold
        standing, run, state = np.zeros(len(above), bool), 0, False
        for i, hot in enumerate(above):
            run = run + 1 if hot != state else 0
            if run >= (self.clear_after if state else self.raise_after):
                state, run = not state, 0
            standing[i] = state
        return standing

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Scoring:
        rows: dict[str, Any] = {k: _tuples(v) if isinstance(v, list | tuple) else int(v) for k, v in value.items()}
        return cls(**rows)

    def _residual(self, codes: NDArray[np.int8], correction: NDArray[np.int8]) -> NDArray[np.int64]:
        present = codes != MISSING_CODE
        difference = codes.astype(np.int64) * self.residual_input
        difference -= (correction.astype(np.int64) - self.correction_zero) * self.residual_output
        difference = np.where(present, difference >> 6, 0)  # 2^-10
        per_channel = (difference * difference).sum(axis=1)  # 2^-20
        weighted = (per_channel * np.asarray(self.channel_weight, np.int64)).sum(axis=1) >> 8
        return np.asarray((weighted // np.maximum(present.sum(axis=(1, 2)), 1)) >> 10)  # 2^-10

    def _distance(self, embedding: NDArray[np.int8]) -> NDArray[np.int64]:
        centred = ((embedding.astype(np.int64) - self.embedding_zero) << 4) - np.asarray(self.embedding_mean, np.int64)
        white = (centred @ np.asarray(self.whitening, np.int64).T) >> (self.whitening_shift + 4 - 10)  # 2^-10
        return np.asarray(((white * white).sum(axis=1) // embedding.shape[1]) >> 10)  # 2^-10


def log2_q8(value: NDArray[np.int64]) -> NDArray[np.int64]:
    """256 * log2(value) to within two units, by the position of the highest bit and a table; 0 for value < 1."""
    value = np.maximum(value, 1)
    top = np.frexp(value.astype(np.float64))[1].astype(np.int64) - 1
    top -= (np.int64(1) << top) > value  # a value past 2^53 may have rounded up
    fraction = np.where(top >= 8, value >> np.maximum(top - 8, 0), value << np.maximum(8 - top, 0)) & 255
    return np.asarray((top << 8) + np.asarray(LOG2_TABLE, np.int64)[fraction])


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else int(value)
