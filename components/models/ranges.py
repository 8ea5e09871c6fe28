"""Calibration: how far each activation of a network reaches in integers.

Whatever lies beyond is clipped, and the further a range reaches the coarser its steps: `minmax` clips nothing, the others give
up rare values for finer steps. Which of them a model needs is found by trying (`quantization.recipes`): a range that averages or
clips loses the spikes that an anomaly detector is there for, and a single far one may cost all others their resolution.

minmax      least and greatest value (TensorFlow Lite's 8-bit specification)
percentile  of all values 99.99 % lie inside (Wu et al., Integer Quantization for Deep Learning Inference, 2020, section 5.1)
mse         least squared error of values that are clipped and rounded (Banner et al., NeurIPS 2019)
kl          least divergence of the rounded distribution from the true one (Migacz, 8-bit Inference with TensorRT, GTC 2017)

The latter three choose among ranges that are minmax's, drawn in towards 0 at both ends by one factor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from components.models.reference import Array, tensors
from components.values import Architecture

Calibrator = Literal["minmax", "percentile", "mse", "kl"]
Spans = Mapping[str, tuple[float, float]]
"""Tensor of `reference.tensors` -> the least and greatest value that it can hold."""

_BATCH = 512
_BINS = 2048
_LEVELS = 256
_INSIDE = 0.9999
_FACTORS = np.geomspace(1.0, 1 / 16, 49)
_LEAST = 1e-12

Floats = NDArray[np.float64]


def ranges(architecture: Architecture, weights: Mapping[str, Array], codes: NDArray[np.int8]) -> dict[str, tuple[float, float]]:
    """Tensor -> its least and greatest value over (windows, steps, channels) int8 codes."""
    found: dict[str, tuple[float, float]] = {}
    for start in range(0, len(codes), _BATCH):
        for name, tensor in tensors(architecture, weights, codes[start : start + _BATCH]).items():
            low, high = found.get(name, (np.inf, -np.inf))
            found[name] = min(low, float(tensor.min())), max(high, float(tensor.max()))
    return found


def calibrated(
    architecture: Architecture, weights: Mapping[str, Array], codes: NDArray[np.int8], calibrator: Calibrator
) -> dict[str, tuple[float, float]]:
    """The same under ``calibrator``.

    The outputs keep their whole range: what a score or a number is read from is clipped by nothing.
    """
    spans = ranges(architecture, weights, codes)
    if calibrator == "minmax":
        return spans
    outputs = {"correction", *(head.output for head in architecture.heads)}
    inner = {name: (min(low, 0.0), max(high, 0.0)) for name, (low, high) in spans.items() if name not in outputs and low < high}
    counts = _histograms(architecture, weights, codes, inner)
    return spans | {name: span_of(counts[name], *span, calibrator) for name, span in inner.items()}


def span_of(counts: Floats, low: float, high: float, calibrator: Calibrator) -> tuple[float, float]:
    """The range that ``calibrator`` gives values of which (bins,) ``counts`` are evenly spaced from ``low`` to ``high``."""
    edges = np.linspace(low, high, len(counts) + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    costs = [_COSTS[calibrator](counts, centres, factor * low, factor * high) for factor in _FACTORS]
    factor = float(_FACTORS[int(np.argmin(costs))])
    return factor * low, factor * high


def _histograms(
    architecture: Architecture, weights: Mapping[str, Array], codes: NDArray[np.int8], spans: Spans
) -> dict[str, Floats]:
    counts = {name: np.zeros(_BINS) for name in spans}
    for start in range(0, len(codes), _BATCH):
        found = tensors(architecture, weights, codes[start : start + _BATCH])
        for name, span in spans.items():
            counts[name] += np.histogram(found[name], _BINS, span)[0]
    return counts


def _beyond(counts: Floats, centres: Floats, low: float, high: float) -> float:
    """How wide the range is, unless it leaves out more than it may."""
    inside = float(counts[(centres >= low) & (centres <= high)].sum() / counts.sum())
    return high - low if inside >= _INSIDE else np.inf


def _squared_error(counts: Floats, centres: Floats, low: float, high: float) -> float:
    return float((counts * (_rounded(centres, low, high) - centres) ** 2).sum())


def _divergence(counts: Floats, centres: Floats, low: float, high: float) -> float:
    """Kullback and Leibler's in nats, of the values in steps from the values clipped.

    Clipped values stand at the ends; a step spreads what it holds, without these, evenly over its bins that are not empty.
    """
    inside = (centres >= low) & (centres <= high)
    held, first, last = counts * inside, int(inside.argmax()), len(counts) - 1 - int(inside[::-1].argmax())
    true = held.copy()
    true[first] += counts[:first].sum()
    true[last] += counts[last + 1 :].sum()
    filled = true > 0
    code = np.rint((np.clip(centres, low, high) - low) / _step(low, high)).astype(int)
    spread = (np.bincount(code, held, _LEVELS) / np.maximum(np.bincount(code, filled, _LEVELS), 1))[code]
    p, q = true[filled] / true.sum(), np.maximum(spread[filled] / max(held.sum(), 1), _LEAST)
    return float((p * np.log(p / q)).sum())


def _rounded(values: Floats, low: float, high: float) -> Floats:
    step = _step(low, high)
    return np.rint((np.clip(values, low, high) - low) / step) * step + low


def _step(low: float, high: float) -> float:
    return (high - low) / (_LEVELS - 1)


_COSTS: dict[str, Callable[[Floats, Floats, float, float], float]] = {
    "percentile": _beyond,
    "mse": _squared_error,
    "kl": _divergence,
}
