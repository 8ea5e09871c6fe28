"""From raw int16 samples to the network's int8 input, and how a device learns its own scaling.

A sample is an int16 ``raw``; ``MISSING_RAW`` says that the sensor gave nothing. The network reads int8 codes:
``code = clamp((raw - center) * multiplier >> 16, -127, 127)`` with rounding, ``MISSING_CODE`` for a missing sample.
One code is ``clip / 127`` robust standard deviations of the channel on that device.

Calibration runs on the device over its first samples, in two phases so that nothing has to be buffered:
the first phase sums samples to a mean, the second sums absolute deviations from it. For a normal distribution
the standard deviation is sqrt(pi/2) times the mean absolute deviation (Geary, Biometrika 27, 1935).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.conditions import MISSING_RAW, Conditions

MISSING_CODE = -128
FIXED = 2**32 - 1
"""As ``min_deviation``: the channel has one scaling on every device, the fallback."""
_MAX_MULTIPLIER = 2**30
_RAW_BIAS = 32768


@dataclass(frozen=True)
class Converter:
    """The device's analogue-to-digital converters: ``physical = raw * lsb + offset``, one entry a channel."""

    lsb: tuple[float, ...]
    offset: tuple[float, ...]

    def raw(self, physical: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
        """(..., channels) physical values, NaN for missing -> (..., channels) int16, saturated at the ends."""
        scaled = np.rint((physical - np.asarray(self.offset)) / np.asarray(self.lsb))
        codes = np.clip(np.nan_to_num(scaled, nan=0.0, posinf=32767, neginf=-32767), -32767, 32767).astype(np.int16)
        codes[np.isnan(physical)] = MISSING_RAW
        return codes


@dataclass(frozen=True)
class Scaling:
    """Integer scaling of one device, one entry a channel: ``center`` in raw units, ``multiplier`` in 1/65536 codes."""

    center: tuple[int, ...]
    multiplier: tuple[int, ...]

    def codes(self, raw: NDArray[np.int16]) -> NDArray[np.int8]:
        """(..., channels) int16 -> (..., channels) int8."""
        wide = (raw.astype(np.int64) - np.asarray(self.center, np.int64)) * np.asarray(self.multiplier, np.int64)
        codes = np.clip((wide + (1 << 15)) >> 16, -127, 127).astype(np.int8)
        codes[raw == MISSING_RAW] = MISSING_CODE
        return codes

    def to_json(self) -> dict[str, list[int]]:
        return {name: list(values) for name, values in asdict(self).items()}


@dataclass(frozen=True)
class Calibration:
    """How a device learns its scaling from its first ``2 * steps`` samples.

    ``gain`` is the multiplier of a channel whose mean absolute deviation is one raw unit; ``min_deviation`` keeps
    a channel that stood still from blowing up; ``fallback`` serves until calibration is done, and for channels
    that gave no sample in either phase or are `FIXED`. Where there are ``conditions``, samples are first read under them.
    """

    steps: int
    gain: int
    min_deviation: tuple[int, ...]
    fallback: Scaling
    conditions: Conditions | None = None

    def read(self, raw: NDArray[np.int16]) -> NDArray[np.int16]:
        """(..., channels) int16 of the converter -> what scalings are of: the same, or as it stands under the conditions."""
        return raw if self.conditions is None else self.conditions.applied(raw)

    def learn(self, raw: NDArray[np.int16]) -> Scaling:
        """(samples, channels) int16 as `read` gives them, oldest first -> the scaling after ``2 * steps`` samples.

        With fewer samples, or ``steps`` 0 (one scaling for the whole fleet), it is the fallback.
        """
        if not self.steps or len(raw) < 2 * self.steps:
            return self.fallback
        first, second = raw[: self.steps].astype(np.int64), raw[self.steps : 2 * self.steps].astype(np.int64)
        center, multiplier = [], []
        for c in range(raw.shape[1]):
            mean, heard = _floor_mean(first[:, c] + _RAW_BIAS, first[:, c] != MISSING_RAW)
            mean -= _RAW_BIAS
            deviation, heard_again = _floor_mean(np.abs(second[:, c] - mean), second[:, c] != MISSING_RAW)
            if not (heard and heard_again) or self.min_deviation[c] == FIXED:
                center.append(self.fallback.center[c])
                multiplier.append(self.fallback.multiplier[c])
                continue
            center.append(mean)
            multiplier.append(min(self.gain // max(deviation, self.min_deviation[c], 1), _MAX_MULTIPLIER))
        return Scaling(tuple(center), tuple(multiplier))

    def to_json(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "gain": self.gain,
            "min_deviation": list(self.min_deviation),
            "fallback": self.fallback.to_json(),
            "conditions": None if self.conditions is None else self.conditions.to_json(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Calibration:
        fallback = Scaling(tuple(value["fallback"]["center"]), tuple(value["fallback"]["multiplier"]))
        conditions = Conditions.from_json(value["conditions"]) if value.get("conditions") else None
        return cls(int(value["steps"]), int(value["gain"]), tuple(value["min_deviation"]), fallback, conditions)


def gain_for(clip: float) -> int:
    """The ``gain`` that maps ``clip`` standard deviations of a normal channel to code 127."""
    return round(127 / (clip * sqrt(pi / 2)) * 65536)


def _floor_mean(values: NDArray[np.int64], present: NDArray[np.bool_]) -> tuple[int, bool]:
    count = int(present.sum())
    return (int(values[present].sum()) // count, True) if count else (0, False)
