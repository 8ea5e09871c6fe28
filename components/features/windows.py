"""Accepted telemetry -> windows, each with what its device's network would see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.features.calibration import make_calibration, with_fixed
from components.features.conditions import learn_conditions
from components.features.grid import Grid, make_grid, with_lead
from components.features.split import held_out
from components.features.streams import check_devices, read_streams, with_streams
from components.runtime.scaling import Calibration, Converter
from components.values import Dataset, Windows
from components.workspace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from components.features.records import Records
    from components.workspace import Workspace
    from components.workspace.settings import Telemetry
    from components.workspace.settings import Windows as Settings


def _silent(note: str) -> None:
    """For callers that want no notes."""


def make_windows(workspace: Workspace, dataset: Dataset, say: Callable[[str], None] = _silent) -> Windows:
    """Cut every device's telemetry into windows of `windows.steps` slots, one every `windows.stride`.

    Windows reach up to `windows.lead` slots before a device's first row, as a device does whose buffer is not full yet.

    A window that misses more than `windows.max_missing` of its samples, or in which the device changed its firmware
    or profile, is left out. Training devices (or the training part of each device) alone make the fleet's fallback
    scaling. ``say`` hears which records belong to no sample.

    Raises:
        NotFound: the file of a channel's records is not there.
        InputError: no window is left, a part of the split is empty, or records are of other devices altogether.
    """
    settings = workspace.settings
    grid = make_grid(dataset.frame(), settings.telemetry)
    streams = read_streams(workspace)
    check_devices(grid, streams)
    grid, notes = with_streams(grid, settings.telemetry, streams)
    for note in notes:
        say(note)
    grid = with_lead(grid, settings.windows.lead)
    device, start = _starts(grid, settings.windows)
    kept = _whole(grid, start, settings.windows, settings.telemetry)
    device, start = device[kept], start[kept]
    if not len(start):
        raise InputError(
            f"no window of {settings.windows.steps} steps is left of {dataset.rows:,} rows",
            hint="check telemetry.interval_s, windows.steps and windows.max_missing",
        )
    index = _index(grid, device, start, settings.windows.steps)
    test = held_out(workspace, index)
    lsb, offset = zip(*(c.converter() for c in settings.telemetry.channels), strict=True)
    converter = Converter(tuple(lsb), tuple(offset))
    raw = converter.raw(grid.values)
    histories = _histories(grid, raw, device[~test], start[~test], settings.windows.steps, settings.windows.calibration_steps)
    conditions = learn_conditions(settings.telemetry, settings.windows.regimes, np.concatenate(histories), settings.seed)
    learned = make_calibration(settings.windows.calibration_steps, settings.windows.clip, histories, conditions)
    calibration = with_fixed(learned, settings.telemetry, converter)
    index["split"] = np.where(test, "test", "train")
    return _cut(grid, raw, start, settings.windows.steps, index, settings.telemetry.names, converter, calibration)


def cut_unseen(
    frame: pd.DataFrame,
    telemetry: Telemetry,
    settings: Settings,
    converter: Converter,
    calibration: Calibration,
    streams: Mapping[str, Records] = MappingProxyType({}),
) -> tuple[Windows, tuple[str, ...]]:
    """Windows of telemetry that a finished model is to score: each device learns its scaling from its first samples here.

    ``frame`` has the columns of `Dataset.frame`, sorted by device and time. ``converter`` and ``calibration`` travel with
    the model. All windows are held out; none may be left. ``streams``: by name, the records that channels are made of;
    what of them belongs to no sample is said beside the windows.
    """
    grid, notes = with_streams(make_grid(frame, telemetry), telemetry, streams)
    grid = with_lead(grid, settings.lead)
    device, start = _starts(grid, settings)
    kept = _whole(grid, start, settings, telemetry)
    device, start = device[kept], start[kept]
    index = _index(grid, device, start, settings.steps).assign(split="test")
    raw = converter.raw(grid.values)
    return _cut(grid, raw, start, settings.steps, index, telemetry.names, converter, calibration), notes


def _cut(
    grid: Grid,
    raw: NDArray[np.int16],
    start: NDArray[np.int64],
    steps: int,
    index: pd.DataFrame,
    names: tuple[str, ...],
    converter: Converter,
    calibration: Calibration,
) -> Windows:
    """Values and codes of the windows that begin at the slots ``start``."""
    read = calibration.read(raw)
    scalings = {name: calibration.learn(read[a + grid.lead : b]) for name, a, b in _spans(grid)}
    codes = np.concatenate([scalings[name].codes(read[a:b]) for name, a, b in _spans(grid)])
    slots = start[:, None] + np.arange(steps)
    return Windows(names, grid.values[slots], codes[slots], index, converter, calibration, scalings)


def _spans(grid: Grid) -> list[tuple[str, int, int]]:
    """Name, first slot and slot past the last of each device."""
    return list(zip(grid.devices, grid.offsets[:-1].tolist(), grid.offsets[1:].tolist(), strict=True))


def _starts(grid: Grid, cut: Settings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(windows,) device number and first slot of every window that fits."""
    spare, stride = np.diff(grid.offsets) - cut.steps, cut.stride
    counts = np.maximum(spare // stride + 1, 0)
    first = grid.offsets[:-1] + (spare % stride if cut.align == "end" else 0)
    device = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return device, first[device] + number * stride


def _whole(grid: Grid, start: NDArray[np.int64], cut: Settings, telemetry: Telemetry) -> NDArray[np.bool_]:
    """(windows,) whether enough samples are there, of the channels that the device has, and the context did not change."""
    steps, missing = cut.steps, _running(_missing(grid, telemetry))
    changed = np.zeros(len(grid.context), np.int64)
    changed[1:] = grid.context[1:] != grid.context[:-1]
    changes = np.cumsum(changed)
    share = (missing[start + steps] - missing[start]) / steps
    return np.asarray((share <= cut.max_missing + 1e-9) & (changes[start + steps - 1] == changes[start]))


def _missing(grid: Grid, telemetry: Telemetry) -> NDArray[np.float64]:
    """(slots,) share of the channels that are missing, without the optional ones that the device never sent."""
    gone = np.isnan(grid.values)
    optional = np.asarray([channel.optional for channel in telemetry.channels])
    if not optional.any():
        return gone.mean(axis=1)
    lacks = np.stack([gone[a:b].all(axis=0) & optional for _, a, b in _spans(grid)])
    there = ~np.repeat(lacks, np.diff(grid.offsets), axis=0)
    return (gone & there).sum(axis=1) / np.maximum(there.sum(axis=1), 1)


def _running(values: NDArray[Any]) -> NDArray[np.float64]:
    """(n + 1,) sums of all values before each position."""
    return np.concatenate([[0.0], np.cumsum(values)])


def _index(grid: Grid, device: NDArray[np.int64], start: NDArray[np.int64], steps: int) -> pd.DataFrame:
    import pandas as pd

    slot = grid.first_slot[device] + start - grid.offsets[device]
    context = grid.contexts.iloc[grid.context[start]].reset_index(drop=True)
    return pd.DataFrame(
        {
            "device_id": np.asarray(grid.devices, object)[device],
            "start": pd.to_datetime(slot * grid.interval_us, unit="us", utc=True),
            "end": pd.to_datetime((slot + steps) * grid.interval_us, unit="us", utc=True),
            **{name: context[name].to_numpy() for name in ("site", "hardware_profile", "firmware_version")},
        }
    ).astype({"device_id": "str"})


def _histories(
    grid: Grid, raw: NDArray[np.int16], device: NDArray[np.int64], start: NDArray[np.int64], steps: int, calibration_steps: int
) -> list[NDArray[np.int16]]:
    """What a training device samples: its first samples, or with one scaling for the fleet all its training windows."""
    if calibration_steps:
        first = grid.offsets[:-1] + grid.lead
        return [raw[first[d] : grid.offsets[d + 1]][: 2 * calibration_steps] for d in np.unique(device)]
    used = np.zeros(len(raw) + 1, np.int64)
    np.add.at(used, start, 1)
    np.add.at(used, start + steps, -1)
    return [raw[np.cumsum(used)[:-1] > 0]]
