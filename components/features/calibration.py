"""What a device needs to learn its own scaling, made from what training devices learned (see runtime/scaling.py)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from components.runtime.conditions import MISSING_RAW, Conditions
from components.runtime.scaling import FIXED, Calibration, Converter, Scaling, gain_for
from components.workspace.settings import Telemetry

# A channel that stood still during calibration is given at least a quarter of the fleet's median deviation, and where
# it stands still on most devices a sixteenth of the deviation of all samples together.
_OF_MEDIAN, _OF_POOLED = 4, 16
_SPAN = 127 * 65536


def make_calibration(
    steps: int, clip: float, histories: list[NDArray[np.int16]], conditions: Conditions | None = None
) -> Calibration:
    """``histories``: one (samples, channels) int16 array a training device, oldest first.

    The fallback centre and deviation of a channel are the medians of what the devices learn; with ``steps`` 0, or
    where no device has samples enough, those of all samples together. With ``conditions`` histories are read under them.
    """
    histories = histories if conditions is None else [conditions.applied(raw) for raw in histories]
    channels = histories[0].shape[1]
    bare = Calibration(steps, gain_for(clip), (1,) * channels, Scaling((0,) * channels, (0,) * channels))
    learned = [bare.learn(raw) for raw in histories if steps and len(raw) >= 2 * steps]
    center, pooled = _pooled(histories)
    deviation = pooled.copy()
    if learned:
        multipliers = np.asarray([s.multiplier for s in learned], float)
        centers = np.asarray([s.center for s in learned], float)
        for c in range(channels):
            knows = multipliers[:, c] > 0
            if knows.any():
                center[c] = np.median(centers[knows, c])
                deviation[c] = np.median(bare.gain / multipliers[knows, c])
    least = tuple(max(int(d) // _OF_MEDIAN, int(p) // _OF_POOLED, 1) for d, p in zip(deviation, pooled, strict=True))
    multiplier = tuple(bare.gain // max(round(d), low) for d, low in zip(deviation, least, strict=True))
    fallback = Scaling(tuple(round(c) for c in center), multiplier)
    return replace(bare, min_deviation=least, fallback=fallback, conditions=conditions)


def with_fixed(calibration: Calibration, telemetry: Telemetry, converter: Converter) -> Calibration:
    """Channels of records have one scaling everywhere: 0 is code 0 and the range's end the largest.

    What hardly ever happens has no deviation that a device could learn, and by it a single error would fill the input range.
    """
    center, multiplier = list(calibration.fallback.center), list(calibration.fallback.multiplier)
    least = list(calibration.min_deviation)
    for c, channel in enumerate(telemetry.channels):
        if channel.records is not None:
            zero, lsb = round(-converter.offset[c] / converter.lsb[c]), converter.lsb[c]
            center[c], multiplier[c], least[c] = zero, max(round(_SPAN * lsb / channel.range[1]), 1), FIXED
    return replace(calibration, min_deviation=tuple(least), fallback=Scaling(tuple(center), tuple(multiplier)))


def _pooled(histories: list[NDArray[np.int16]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(channels,) median and mean absolute deviation from it over all samples; 0 and 1 for a silent channel."""
    channels = histories[0].shape[1]
    center, deviation = np.zeros(channels), np.ones(channels)
    for c in range(channels):
        present = np.concatenate([raw[:, c][raw[:, c] != MISSING_RAW] for raw in histories]).astype(np.float64)
        if present.size:
            center[c] = np.median(present)
            deviation[c] = np.abs(present - center[c]).mean()
    return center, deviation
