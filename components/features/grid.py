"""Telemetry on a regular grid: one slot every sampling interval, device after device, NaN where nothing was sent
and no earlier value stands.

Slots are counted from 1970, so the grids of all devices share their phase and a row snaps to the slot nearest to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.features.sampling import in_slots
from components.workspace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from components.workspace.settings import Telemetry

_CONTEXT = ["hardware_profile", "firmware_version", "site"]
_MAX_SLOTS = 400_000_000
_SPARSE = 1000  # a grid this many times longer than its rows is a mistake in time, not telemetry with gaps


@dataclass(frozen=True)
class Grid:
    """``values``: (slots, channels) float32. ``first_slot``: (devices,) number of a device's first slot since 1970.

    ``offsets``: (devices + 1,) where a device's slots begin. ``context``: (slots,) row of ``contexts`` that held at
    that slot, the last one known where nothing was sent. ``heard``: (slots,) bool, a row arrived for the slot.
    ``moments``: (slots,) microseconds since 1970 at which the sample was taken, the slot's own where there is none.
    ``lead``: slots at the begin of every device that lie before its first row.
    """

    devices: list[str]
    values: NDArray[np.float32]
    first_slot: NDArray[np.int64]
    offsets: NDArray[np.int64]
    context: NDArray[np.int32]
    contexts: pd.DataFrame
    heard: NDArray[np.bool_]
    moments: NDArray[np.int64]
    interval_us: int
    lead: int = 0


def make_grid(frame: pd.DataFrame, telemetry: Telemetry) -> Grid:
    """Place accepted rows (sorted by device and time) on the grid; of two contexts in a slot the later counts.

    Raises:
        InputError: the grid would be absurdly longer than the rows.
    """
    import pandas as pd

    interval = round(telemetry.interval_s * 1e6)
    micros = frame["time"].dt.as_unit("us").astype("int64").to_numpy()
    slot = (micros + interval // 2) // interval
    device, names = pd.factorize(frame["device_id"])
    begins = np.flatnonzero(np.diff(device, prepend=-1))
    ends = np.append(begins[1:], len(device)) - 1
    lengths = slot[ends] - slot[begins] + 1
    _check_length(lengths, np.diff(np.append(begins, len(device))), [str(n) for n in names], telemetry)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    where = offsets[device] + slot - slot[begins][device]
    values = np.full((offsets[-1], len(telemetry.channels)), np.nan, np.float32)
    for c, channel in enumerate(telemetry.channels):
        if channel.records is None:
            samples = frame[channel.name].to_numpy(np.float32)
            values[:, c] = in_slots(samples, where, offsets, channel, telemetry.interval_s)
    heard = np.zeros(offsets[-1], bool)
    heard[where] = True
    moments = (np.arange(offsets[-1]) + np.repeat(slot[begins] - offsets[:-1], lengths)) * interval
    moments[where] = micros
    codes, contexts = _contexts(frame)
    last_heard = np.maximum.accumulate(np.where(heard, np.arange(offsets[-1]), 0))  # a device's first slot is heard
    context = np.zeros(offsets[-1], np.int32)
    context[where] = codes
    return Grid([str(n) for n in names], values, slot[begins], offsets, context[last_heard], contexts, heard, moments, interval)


def with_lead(grid: Grid, lead: int) -> Grid:
    """The same with ``lead`` empty slots before each device's first row, in the context of that row."""
    if not lead:
        return grid
    lengths = np.diff(grid.offsets)
    offsets = grid.offsets + lead * np.arange(len(grid.offsets))
    where = np.arange(len(grid.values)) + lead * np.repeat(np.arange(1, len(lengths) + 1), lengths)
    values = np.full((offsets[-1], grid.values.shape[1]), np.nan, np.float32)
    heard, context = np.zeros(offsets[-1], bool), np.repeat(grid.context[grid.offsets[:-1]], lengths + lead)
    values[where], heard[where], context[where] = grid.values, grid.heard, grid.context
    first_slot = grid.first_slot - lead
    moments = (np.arange(offsets[-1]) + np.repeat(first_slot - offsets[:-1], lengths + lead)) * grid.interval_us
    moments[where] = grid.moments
    return replace(
        grid,
        values=values,
        heard=heard,
        context=context,
        offsets=offsets,
        first_slot=first_slot,
        moments=moments,
        lead=lead,
    )


def _contexts(frame: pd.DataFrame) -> tuple[NDArray[np.int32], pd.DataFrame]:
    """(rows,) number of each row's combination of context, and the combinations."""
    import pandas as pd

    key = np.zeros(len(frame), np.int64)
    for name in _CONTEXT:
        codes, values = pd.factorize(frame[name])
        key = key * (len(values) + 1) + codes
    codes, _ = pd.factorize(key)
    first = np.unique(codes, return_index=True)[1]
    return codes.astype(np.int32), frame[_CONTEXT].iloc[first].reset_index(drop=True)


def _check_length(lengths: NDArray[Any], rows: NDArray[Any], names: list[str], telemetry: Telemetry) -> None:
    worst = int(np.argmax(lengths / rows))
    if lengths.sum() > _MAX_SLOTS or (lengths[worst] > _SPARSE * rows[worst] and lengths[worst] > 1_000_000):
        days = lengths[worst] * telemetry.interval_s / 86_400
        raise InputError(
            f"device {names[worst]} sent {rows[worst]:,} rows over {days:,.0f} days: too sparse for an interval of "
            f"{telemetry.interval_s:g} s",
            hint="check telemetry.interval_s and the time column",
        )
