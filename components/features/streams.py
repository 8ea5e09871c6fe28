"""Channels made of records: what happened to a device, as numbers on the grid of its telemetry.

A record belongs to the first sample that was taken at its time or later, by the time of the sample's row: what a device
finds in its own log when it samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.features.grid import Grid
from components.features.records import Micros, Records, read_records
from components.workspace.errors import InputError
from components.workspace.settings import SECONDS, Channel, Telemetry

if TYPE_CHECKING:
    from components.workspace import Workspace

_SHOWN = 3


def read_streams(workspace: Workspace) -> dict[str, Records]:
    """Name under `records:` -> those that a channel is made of.

    Raises:
        NotFound: a file is not there.
        InputError: a file is no table of records.
    """
    wanted = {c.records.source for c in workspace.settings.telemetry.channels if c.records}
    return {name: read_records(workspace.path(workspace.settings.records[name])) for name in sorted(wanted)}


def with_streams(grid: Grid, telemetry: Telemetry, streams: Mapping[str, Records]) -> tuple[Grid, tuple[str, ...]]:
    """``grid`` with its channels of records filled wherever a sample was taken, and what of the records found no place."""
    places = [c for c, channel in enumerate(telemetry.channels) if channel.records]
    if not places:
        return grid, ()
    values, notes = grid.values.copy(), []
    taken = np.flatnonzero(grid.heard | ~np.isnan(grid.values).all(axis=1))
    for c in places:
        channel = telemetry.channels[c]
        chosen, unseen = _chosen(channel, streams)
        values[taken, c], placed = _told(grid, channel, chosen, taken)
        notes += [*unseen, *_left_out(grid, channel, chosen, placed)]
    return replace(grid, values=values), tuple(notes)


def check_devices(grid: Grid, streams: Mapping[str, Records]) -> None:
    """Raises InputError where records are there, and none of a device that has telemetry: they name devices otherwise."""
    for records in streams.values():
        if len(records.devices) and not np.isin(records.devices.astype(str), grid.devices).any():
            raise InputError(
                f"{records.file}: no record is of a device with telemetry; the first is of '{records.devices[0]}'",
                hint=f"devices of the telemetry are called {_some(grid.devices)}",
            )


def _chosen(channel: Channel, streams: Mapping[str, Records]) -> tuple[Records, list[str]]:
    """The channel's records, and a word on each of its codes that none of them has."""
    assert channel.records is not None  # noqa: S101 - asked for channels of records
    records = streams[channel.records.source]
    codes, which = np.unique(records.codes.astype(str), return_inverse=True)
    hits: NDArray[np.bool_] = np.asarray(
        [[fnmatchcase(code, wanted) for code in codes] for wanted in channel.records.codes], bool
    )
    unseen = [wanted for wanted, hit in zip(channel.records.codes, hits, strict=True) if not hit.any()]
    known = f": it has {_some(codes.tolist())}" if len(codes) else ""
    notes = [f"channel {channel.name}: no record in {records.file.name} has a code like '{wanted}'{known}" for wanted in unseen]
    return records.where(np.asarray(hits.any(axis=0))[which]), notes


def _told(grid: Grid, channel: Channel, records: Records, taken: NDArray[np.int64]) -> tuple[NDArray[np.float64], int]:
    """(samples taken,) what the channel says at each, up to its range's end; and how many records found their sample."""
    assert channel.records is not None  # noqa: S101 - asked for channels of records
    told, placed = np.zeros(len(taken)), 0
    bounds = np.searchsorted(taken, grid.offsets)
    for device, a, b in zip(grid.devices, bounds[:-1], bounds[1:], strict=True):
        times, moments = records.of(device), grid.moments[taken[a:b]]
        counts = _counts(times, moments, grid.interval_us)
        placed += int(counts.sum())
        told[a:b] = counts if channel.records.value == "count" else _since(times, moments) / (SECONDS[channel.unit] * 1e6)
    return np.minimum(told, channel.range[1]), placed


def _counts(times: Micros, moments: Micros, interval_us: int) -> NDArray[np.int64]:
    """Records since the sample before, at its moment or earlier; the first sample looks back one interval."""
    upto = np.searchsorted(times, np.concatenate([[moments[0] - interval_us], moments]), side="right")
    return np.diff(upto)


def _since(times: Micros, moments: Micros) -> NDArray[np.float64]:
    """Microseconds since the last record, endless before the first."""
    last = np.searchsorted(times, moments, side="right") - 1
    if not len(times):
        return np.full(len(moments), np.inf)
    return np.where(last >= 0, moments - times[np.maximum(last, 0)], np.inf)


def _left_out(grid: Grid, channel: Channel, records: Records, placed: int) -> list[str]:
    foreign = ~np.isin(records.devices.astype(str), grid.devices)
    about = f"channel {channel.name}: {records.file.name}: "
    notes = []
    if foreign.any():
        names = _some(np.unique(records.devices[foreign].astype(str)).tolist())
        notes.append(f"{about}{int(foreign.sum()):,} of {len(foreign):,} records are of devices without telemetry ({names})")
    if outside := len(foreign) - int(foreign.sum()) - placed:
        notes.append(f"{about}{outside:,} of {len(foreign):,} records lie outside the time of their device's telemetry")
    return notes


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
