"""What a channel is in each slot of the grid: several samples become one, and a value may stand for some slots after its own.

A device does the same with two variables a channel: what it gathered since it closed the slot before, and how old its value is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.workspace.settings import Channel

Floats = NDArray[np.float32]


def in_slots(
    samples: Floats, where: NDArray[np.int64], offsets: NDArray[np.int64], channel: Channel, interval_s: float
) -> Floats:
    """(slots,) value of ``channel``, NaN where nothing was sent and nothing stands.

    ``samples``: (rows,) by device and time, NaN for none; ``where``: (rows,) slot of each; ``offsets``: (devices + 1,) first
    slots of the devices.
    """
    sent = ~np.isnan(samples)
    values = _aggregated(samples[sent], where[sent], int(offsets[-1]), channel.aggregate)
    return values if channel.hold_s is None else _held(values, offsets, int(channel.hold_s / interval_s + 1e-9))


def _aggregated(samples: Floats, where: NDArray[np.int64], slots: int, how: str) -> Floats:
    values = np.full(slots, np.nan, np.float32)
    if how == "last":
        values[where] = samples
    elif how == "max":
        np.fmax.at(values, where, samples)
    else:
        sums = np.bincount(where, samples.astype(np.float64), slots)
        counts = np.bincount(where, minlength=slots)
        there = counts > 0
        values[there] = sums[there] / (counts[there] if how == "mean" else 1)
    return values


def _held(values: Floats, offsets: NDArray[np.int64], most: int) -> Floats:
    """The last value of the same device where there is none, for at most ``most`` slots."""
    slot = np.arange(len(values))
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, slot))
    first = np.repeat(offsets[:-1], np.diff(offsets))
    stands = (last >= first) & (slot - last <= most)
    return np.where(stands, values[np.maximum(last, 0)], np.float32(np.nan))
