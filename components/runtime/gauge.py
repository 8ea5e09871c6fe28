"""From the output of a regression to its value in integers: fixed point in the task's unit, clipped to its range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Gauge:
    """How the code of a regression's output becomes its value, in units of 2^-``bits``.

    ``value = clamp(middle + ((code - zero) * multiplier >> 16), low, high)``, the product rounded to nearest.
    """

    zero: int
    multiplier: int
    middle: int
    low: int
    high: int
    bits: int

    @classmethod
    def over(cls, span: tuple[float, float], scale: float, zero: int) -> Gauge:
        """For an output whose ``(code - zero) * scale`` is -1 to 1 over the range ``span``.

        There are as many bits as resolve the width of the range to 2^-14 or finer.
        """
        low, high = span
        bits = int(np.clip(15 - np.ceil(np.log2(high - low)), 0, 30))
        one = float(1 << bits)
        multiplier = round(scale * (high - low) / 2 * one * (1 << 16))
        return cls(zero, multiplier, round((low + high) / 2 * one), round(low * one), round(high * one), bits)

    @property
    def range(self) -> tuple[float, float]:
        """In the task's unit."""
        return self.low / (1 << self.bits), self.high / (1 << self.bits)

    @property
    def width(self) -> float:
        """Of the range, in the task's unit."""
        return (self.high - self.low) / (1 << self.bits)

    def values(self, codes: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """(windows,) codes -> (windows,) int32 in units of 2^-``bits``."""
        away = ((codes.astype(np.int64) - self.zero) * self.multiplier + (1 << 15)) >> 16
        return np.clip(self.middle + away, self.low, self.high).astype(np.int32)

    def in_unit(self, values: NDArray[np.int32]) -> NDArray[np.float64]:
        """(windows,) fixed point -> the task's unit."""
        return np.asarray(values / float(1 << self.bits))
