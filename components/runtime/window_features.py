"""Numbers that sum a window of codes up for trees and linear parts: integers, equal in Python, in ONNX Runtime and in C.

Of each channel, over the samples that are there:

mean, deviation, min, max, range
slope             of the least-squares line: its rise over the window, at most `SLOPE_LIMIT`
difference        deviation of the differences of neighbours
missing, still    samples that are not there, neighbours that are equal
haar2 .. haar64   root mean square of the difference between the halves of blocks of that many samples: the spectrum,
                  band by band (Haar, Math. Annalen 69, 1910); a missing sample stands at the mean
part0 .. part7    means of eighths of the window, or of as many parts as are asked for; that of the whole where nothing
                  is there

Means and deviations are in 1/64 code, the slope in 1/16; everything fits int16 and is 0 where it has no sample to be
made from. Dividends are kept positive and below 2^52: rounding down is then the same in integers of 64 bits, in C,
and where ONNX takes square roots in double precision.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE

BANDS = 6
"""Most bands; a window has those whose blocks fit it."""
PARTS = 8
SLOPE_LIMIT = 32_000
CODE_BITS = 6
SLOPE_BITS = 4
BASE = ("mean", "deviation", "min", "max", "range", "slope", "difference", "missing", "still")
_CHUNK = 4096

Wide = NDArray[np.int64]


def window_features(codes: NDArray[np.int8], parts: int = PARTS) -> NDArray[np.int16]:
    """(windows, steps, channels) int8 codes -> (windows, channels * names), the numbers of a channel beside each other."""
    chunks = [_features(codes[i : i + _CHUNK], parts) for i in range(0, max(len(codes), 1), _CHUNK)]
    return np.concatenate(chunks)


def feature_names(steps: int, parts: int = PARTS) -> tuple[str, ...]:
    """What is known of each channel of a window of ``steps``."""
    bands = (f"haar{2 << level}" for level in range(bands_of(steps)))
    return (*BASE, *bands, *(f"part{i}" for i in range(parts)))


def bands_of(steps: int) -> int:
    return min(BANDS, steps.bit_length() - 1)


def part_spans(steps: int, parts: int = PARTS) -> list[tuple[int, int]]:
    """The first step of each part and the step past its last."""
    return [(i * steps // parts, (i + 1) * steps // parts) for i in range(parts)]


def _features(codes: NDArray[np.int8], parts: int) -> NDArray[np.int16]:
    x = codes.transpose(0, 2, 1).astype(np.int64)
    there = x != MISSING_CODE
    x = np.where(there, x, 0)
    n, total = there.sum(axis=2), x.sum(axis=2)
    low = np.where(n > 0, np.where(there, x, 127).min(axis=2), 0)
    high = np.where(n > 0, np.where(there, x, -127).max(axis=2), 0)
    mean = _mean(n, total)
    both = there[:, :, 1:] & there[:, :, :-1]
    step = np.where(both, np.diff(x, axis=2), 0)
    numbers = [
        mean,
        _deviation(n, total, (x * x).sum(axis=2)),
        low,
        high,
        high - low,
        _slope(x, there, n, total),
        _deviation(both.sum(axis=2), step.sum(axis=2), (step * step).sum(axis=2)),
        codes.shape[1] - n,
        (both & (step == 0)).sum(axis=2),
        *_bands(np.where(there, x - (mean >> CODE_BITS)[:, :, None], 0)),
        *_parts(x, there, mean, parts),
    ]
    return np.stack(numbers, axis=2).reshape(len(codes), -1).astype(np.int16)


def _mean(n: Wide, total: Wide) -> Wide:
    some = np.maximum(n, 1)
    return np.asarray(((total << CODE_BITS) + (some << 13)) // some - (1 << 13))


def _deviation(n: Wide, total: Wide, squares: Wide) -> Wide:
    return _root(((n * squares - total * total) << (2 * CODE_BITS)) // np.maximum(n * n, 1))


def _slope(x: Wide, there: NDArray[np.bool_], n: Wide, total: Wide) -> Wide:
    steps = x.shape[2]
    t = np.where(there, np.arange(steps), 0)
    times = t.sum(axis=2)
    spread = np.maximum(n * (t * t).sum(axis=2) - times * times, 1)
    rise = (n * (t * x).sum(axis=2) - times * total) * ((steps - 1) << SLOPE_BITS)
    return np.asarray(np.clip((rise + (spread << 15)) // spread - (1 << 15), -SLOPE_LIMIT, SLOPE_LIMIT))


def _bands(x: Wide) -> list[Wide]:
    found = []
    for level in range(bands_of(x.shape[2])):
        blocks = x.shape[2] // 2
        left, right = x[:, :, 0 : 2 * blocks : 2], x[:, :, 1 : 2 * blocks : 2]
        energy = ((left - right) ** 2).sum(axis=2)
        found.append(_root((energy << (2 * (CODE_BITS - level))) // blocks))
        x = left + right
    return found


def _parts(x: Wide, there: NDArray[np.bool_], mean: Wide, parts: int) -> list[Wide]:
    found = []
    for begin, end in part_spans(x.shape[2], parts):
        n = there[:, :, begin:end].sum(axis=2)
        found.append(np.where(n > 0, _mean(n, x[:, :, begin:end].sum(axis=2)), mean))
    return found


def _root(value: Wide) -> Wide:
    """Square root, rounded down; exact below 2^52, where the double-precision root is correctly rounded."""
    return np.floor(np.sqrt(value.astype(np.float64))).astype(np.int64)
