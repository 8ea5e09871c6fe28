"""Operating conditions: samples measured against what is usual under the condition of their moment, in integers.

A machine that runs at other speeds, loads or heights sends other values without anything being wrong, and wear that is
small beside these differences drowns in an int8 input. Channels that tell the condition fall into a few regimes; every
other channel is shifted and stretched by what it is in the regime that the sample is nearest to. What comes out is int16
again, so that scaling and its calibration (`scaling`) go on as before.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING_RAW = -32768
"""A sample that the sensor did not give."""
DEVIATION = 512
"""Codes after the shift and the stretch that are the mean absolute deviation of a channel in its regime."""

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Conditions:
    """``channels``: positions of those that tell the condition. ``weight``: of their differences, in 2^-16.

    ``point``: (regimes, conditions) the middle of each regime in raw units. ``center``, ``multiplier``: (regimes, channels)
    raw units, and 2^-16 codes a raw unit; 0 and 65536 for the conditions themselves and other channels that stay as they are.
    """

    channels: tuple[int, ...]
    weight: tuple[int, ...]
    point: tuple[tuple[int, ...], ...]
    center: tuple[tuple[int, ...], ...]
    multiplier: tuple[tuple[int, ...], ...]

    def regimes(self, raw: NDArray[np.int16]) -> NDArray[np.int64]:
        """(samples, channels) -> (samples,) the nearest regime; what is missing is not counted, of equals the first wins."""
        told = raw[:, list(self.channels)].astype(np.int64)
        away = (told[:, None] - np.asarray(self.point, np.int64)[None]) * np.asarray(self.weight, np.int64) >> 16
        return np.where(told[:, None] == MISSING_RAW, 0, away * away).sum(axis=2).argmin(axis=1)

    def applied(self, raw: NDArray[np.int16]) -> NDArray[np.int16]:
        """(..., channels) int16 -> the same shape, each sample as it stands in its regime; missing ones stay missing."""
        flat = raw.reshape(-1, raw.shape[-1])
        parts = [self._applied(flat[i : i + _CHUNK]) for i in range(0, max(len(flat), 1), _CHUNK)]
        return np.concatenate(parts).reshape(raw.shape)

    def undone(self, raw: NDArray[np.int16], regime: int) -> NDArray[np.int16]:
        """(..., channels) samples in the middle of ``regime`` that `applied` turns into ``raw``, as near as int16 can."""
        center, multiplier = np.asarray(self.center[regime], np.int64), np.asarray(self.multiplier[regime], np.int64)
        back = center + np.rint((raw.astype(np.int64) << 16) / multiplier).astype(np.int64)
        found = np.where(raw == MISSING_RAW, MISSING_RAW, np.clip(back, -32767, 32767)).astype(np.int16)
        found[..., list(self.channels)] = self.point[regime]
        return found

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Conditions:
        tables = {name: tuple(tuple(row) for row in value[name]) for name in ("point", "center", "multiplier")}
        return cls(tuple(value["channels"]), tuple(value["weight"]), **tables)

    def _applied(self, raw: NDArray[np.int16]) -> NDArray[np.int16]:
        regime = self.regimes(raw)
        away = raw.astype(np.int64) - np.asarray(self.center, np.int64)[regime]
        wide = (away * np.asarray(self.multiplier, np.int64)[regime] + (1 << 15)) >> 16
        return np.where(raw == MISSING_RAW, MISSING_RAW, np.clip(wide, -32767, 32767)).astype(np.int16)
