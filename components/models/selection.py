"""Which windows calibrate an artefact, which make its self-test, and on which it is proven."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE
from components.values import ElectraModel, TrainedModel, Windows
from components.workspace.errors import InputError

RANGE_WINDOWS = 512
"""Windows that set the ranges of activations."""
NORMAL_WINDOWS = 8192
"""Normal windows whose scores set the false-alarm rate."""
VECTOR_WINDOWS = 2048
"""Windows that self-test vectors are chosen from."""
OWN_WINDOWS = 64
"""From so many on, an artefact is calibrated and proven on windows of its own device type alone: the score that one window in
eight reaches then rests on 8, as the rarest knot of `models.calibration` does. With fewer, those of other types say more."""

Mine = NDArray[np.bool_] | None
"""(windows,) of `own_windows`; None: all."""


def own_windows(model: TrainedModel, windows: Windows, profile: str) -> Mine:
    """The windows from devices of ``profile`` where ``model`` knows that type: with its vector, others would be misread."""
    return of_type(model.architecture.types, windows, profile) if isinstance(model, ElectraModel) else None


def of_type(types: tuple[str, ...], windows: Windows, profile: str) -> Mine:
    """The same of a network that knows the device ``types``."""
    return np.asarray(windows.profiles == profile) if profile in types else None


def range_windows(windows: Windows, mine: Mine = None) -> NDArray[np.int8]:
    """(n, steps, channels) codes of training windows that set the ranges of activations."""
    return range_codes(windows.codes, enough(_train(windows), mine))


def range_codes(codes: NDArray[np.int8], train: NDArray[np.int64]) -> NDArray[np.int8]:
    """(n, steps, channels) of the rows ``train``, rising: half evenly spaced, half those with the most energy.

    Ranges must reach the events a model is to detect: calibrators that average or clip lose spikes.
    """
    plain = train[_even(len(train), RANGE_WINDOWS // 2)]
    energy = np.concatenate([_energy(codes[part]) for part in np.array_split(train, max(len(train) // 4096, 1))])
    extreme = train[np.argsort(-energy, kind="stable")[: RANGE_WINDOWS // 2]]
    return np.asarray(codes[np.union1d(plain, extreme)])


def normal_windows(model: TrainedModel, windows: Windows, mine: Mine = None) -> NDArray[np.int8]:
    """(n, steps, channels) codes of the normal windows that training set aside, evenly spaced when they are many."""
    rows = model.calibration_rows
    if len(rows) < 2 or rows.max() >= len(windows):
        raise InputError("the model's calibration rows are not in these windows", hint="train again on them")
    rows = enough(rows, mine)
    return np.asarray(windows.codes[rows[_even(len(rows), NORMAL_WINDOWS)]])


def vector_windows(windows: Windows, mine: Mine = None) -> NDArray[np.int8]:
    """(n, steps, channels) codes of evenly spaced training windows, to choose self-test vectors from."""
    train = enough(_train(windows), mine)
    return np.asarray(windows.codes[train[_even(len(train), VECTOR_WINDOWS)]])


def held_out(windows: Windows, limit: int, mine: Mine = None) -> NDArray[np.int64]:
    """Positions of held-out windows, at most ``limit`` where whole devices allow it.

    Devices are kept or left whole, evenly spaced over the fleet, because events are judged over a device's whole
    record; at least one device is kept.
    """
    rows = np.flatnonzero(windows.test)
    if not len(rows):
        raise InputError("no window is held out", hint="set evaluation.holdout, groups or after so that some are")
    rows = enough(rows, mine)
    device, counts = np.unique(windows.index["device_id"].to_numpy()[rows].astype(str), return_counts=True)
    order = _spread(len(device))
    keep = order[: max(int(np.searchsorted(np.cumsum(counts[order]), limit, side="right")), 1)]
    return rows[np.isin(windows.index["device_id"].to_numpy()[rows].astype(str), device[keep])]


def _train(windows: Windows) -> NDArray[np.int64]:
    rows = np.flatnonzero(windows.train)
    if len(rows) < 2:
        raise InputError(f"{len(rows)} training windows cannot calibrate an artefact", hint="ingest more telemetry")
    return rows


def enough(rows: NDArray[np.int64], mine: Mine) -> NDArray[np.int64]:
    own = rows if mine is None else rows[mine[rows]]
    return own if len(own) >= OWN_WINDOWS else rows


def _even(n: int, wanted: int) -> NDArray[np.int64]:
    """``wanted`` positions evenly spaced over n, or all of them."""
    return np.unique(np.linspace(0, n - 1, min(n, wanted)).round().astype(np.int64))


def _spread(n: int) -> NDArray[np.int64]:
    """0..n-1 ordered so that every prefix is evenly spread (golden ratio sequence)."""
    return np.argsort(np.arange(n) * 0.6180339887498949 % 1.0, kind="stable")


def _energy(codes: NDArray[np.int8]) -> NDArray[np.float64]:
    x = np.where(codes == MISSING_CODE, 0, codes).astype(np.float64)
    return np.asarray((x * x).mean(axis=(1, 2)))
