"""TensorFlow Lite's tables for functions of int16 codes: `sigmoid_table_uint16`, `LUTPopulate`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_STEPS = 512

# fmt: off
SIGMOID: NDArray[np.int64] = np.array([
    32768, 33451, 34133, 34813, 35493, 36169, 36843, 37513, 38180, 38841, 39498, 40149, 40794, 41432, 42064, 42688,
    43304, 43912, 44511, 45102, 45683, 46255, 46817, 47369, 47911, 48443, 48964, 49475, 49975, 50464, 50942, 51409,
    51865, 52311, 52745, 53169, 53581, 53983, 54374, 54755, 55125, 55485, 55834, 56174, 56503, 56823, 57133, 57433,
    57724, 58007, 58280, 58544, 58800, 59048, 59288, 59519, 59743, 59959, 60168, 60370, 60565, 60753, 60935, 61110,
    61279, 61441, 61599, 61750, 61896, 62036, 62172, 62302, 62428, 62549, 62666, 62778, 62886, 62990, 63090, 63186,
    63279, 63368, 63454, 63536, 63615, 63691, 63765, 63835, 63903, 63968, 64030, 64090, 64148, 64204, 64257, 64308,
    64357, 64405, 64450, 64494, 64536, 64576, 64614, 64652, 64687, 64721, 64754, 64786, 64816, 64845, 64873, 64900,
    64926, 64950, 64974, 64997, 65019, 65039, 65060, 65079, 65097, 65115, 65132, 65149, 65164, 65179, 65194, 65208,
    65221, 65234, 65246, 65258, 65269, 65280, 65291, 65301, 65310, 65319, 65328, 65337, 65345, 65352, 65360, 65367,
    65374, 65381, 65387, 65393, 65399, 65404, 65410, 65415, 65420, 65425, 65429, 65433, 65438, 65442, 65445, 65449,
    65453, 65456, 65459, 65462, 65465, 65468, 65471, 65474, 65476, 65479, 65481, 65483, 65485, 65488, 65489, 65491,
    65493, 65495, 65497, 65498, 65500, 65501, 65503, 65504, 65505, 65507, 65508, 65509, 65510, 65511, 65512, 65513,
    65514, 65515, 65516, 65517, 65517, 65518, 65519, 65520, 65520, 65521, 65522, 65522, 65523, 65523, 65524, 65524,
    65525, 65525, 65526, 65526, 65526, 65527, 65527, 65528, 65528, 65528, 65529, 65529, 65529, 65529, 65530, 65530,
    65530, 65530, 65531, 65531, 65531, 65531, 65531, 65532, 65532, 65532, 65532, 65532, 65532, 65533, 65533, 65533,
    65533, 65533, 65533, 65533, 65533, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65535,
], np.int64)
# fmt: on
"""2^16 * logistic(i / 24), some of them rounded up so that what is interpolated between two errs less."""


def looked_up(x: NDArray[np.int64], table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of int16 codes, interpolated between the 513 entries of ``table``."""
    place, rest = 256 + (x >> 7), x & 127
    return np.asarray(table[place] + (((table[place + 1] - table[place]) * rest + 64) >> 7))


def _populated(function: Callable[[float], float], low: float, high: float) -> NDArray[np.int64]:
    """(513,) Q0.15 of ``function`` between both, in single precision; half of what interpolation errs by is taken off."""
    f32, double = np.float32, np.float32(65536 / 2)
    step, half = f32((high - low) / _STEPS), f32((high - low) / _STEPS / 2)

    def of(x: np.float32) -> np.float32:
        return f32(f32(function(float(x))) * double)

    table = []
    for i in range(_STEPS):
        start = f32(low) + f32(i) * step
        here, middle, after = of(start), of(start + half), of(f32(low) + f32(i + 1) * step)
        error = _rounded((after + _rounded(here)) / f32(2)) - _rounded(middle)
        table.append(_rounded(here) - _rounded(error / f32(2)))
    table.append(_rounded(of(f32(high))))
    return np.clip(np.asarray(table), -32768, 32767).astype(np.int64)


def _rounded(x: np.float32) -> np.float32:
    return np.float32(np.copysign(np.floor(np.abs(x) + np.float32(0.5)), x))


EXP = _populated(math.exp, -10.0, 0.0)
"""exp of -10 to 0."""
RECIPROCAL = _populated(lambda x: 1 / (1 + x), 0.0, 1.0)
"""1 / (1 + x) of 0 to 1."""
