"""Numbers that sum a window up, for labelling functions and for the gradient-boosting baseline.

For each channel, in physical units (`<channel>_<statistic>`) and, where the scale matters, in standard deviations of
the device's own calibration (`<channel>_z_<statistic>`; codes saturate at `windows.clip`):

mean, std, min, max, range   over the samples that are there
slope                        of the least-squares line, a unit per hour
diff_std                     standard deviation of first differences
energy                       share of the spectrum's energy (without the mean) at its strongest frequency
missing                      share of samples that are not there
stuck                        longest run of equal samples, as a share of the window

Statistics of a channel without samples in a window are NaN, but for missing and stuck.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE

if TYPE_CHECKING:
    import pandas as pd

    from components.values import Windows
    from components.workspace import Workspace

SCALED = ("mean", "std", "min", "max", "range", "slope", "diff_std")
STATISTICS = (*SCALED, "energy", "missing", "stuck")
_CHUNK = 8192  # windows at a time: a few tens of MB

Block = NDArray[np.float64]


def window_statistics(workspace: Workspace, windows: Windows) -> pd.DataFrame:
    """One float32 row a window, in the order of ``windows``; see above for the columns."""
    import pandas as pd

    clip, hours = workspace.settings.windows.clip, workspace.settings.telemetry.interval_s / 3600.0
    columns = [f"{c}_{s}" for c in windows.channels for s in STATISTICS]
    scaled = [f"{c}_z_{s}" for c in windows.channels for s in SCALED]
    result = np.empty((len(windows), len(columns) + len(scaled)), np.float32)
    for begin in range(0, len(windows), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        physical = np.asarray(windows.values[part], np.float64)
        codes = np.asarray(windows.codes[part], np.float64)
        deviations = np.where(codes == MISSING_CODE, np.nan, codes * clip / 127.0)
        numbers = _scaled(physical, hours) | _unscaled(physical)
        result[part, : len(columns)] = _columns(numbers, STATISTICS)
        result[part, len(columns) :] = _columns(_scaled(deviations, hours), SCALED)
    return pd.DataFrame(result, columns=[*columns, *scaled])


def _columns(numbers: dict[str, Block], names: tuple[str, ...]) -> Block:
    """(windows, channels * statistics), the statistics of a channel beside each other."""
    stacked = np.stack([numbers[n] for n in names], axis=2)
    return stacked.reshape(len(stacked), -1)


def _scaled(x: Block, hours: float) -> dict[str, Block]:
    """x: (windows, steps, channels), NaN for missing -> (windows, channels) each."""
    present = ~np.isnan(x)
    count = present.sum(axis=1)
    filled = np.where(present, x, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=1) / count
        centred = np.where(present, x - mean[:, None], 0.0)
        low = np.where(present, x, np.inf).min(axis=1)
        high = np.where(present, x, -np.inf).max(axis=1)
        low, high = (np.where(count > 0, edge, np.nan) for edge in (low, high))
        return {
            "mean": mean,
            "std": np.sqrt((centred**2).sum(axis=1) / count),
            "min": low,
            "max": high,
            "range": high - low,
            "slope": _slope(centred, present, hours),
            "diff_std": _std_of_differences(x),
        }


def _slope(centred: Block, present: NDArray[np.bool_], hours: float) -> Block:
    t = (np.arange(centred.shape[1]) * hours)[None, :, None]
    middle = (t * present).sum(axis=1) / present.sum(axis=1)
    away = np.where(present, t - middle[:, None], 0.0)
    return np.asarray((away * centred).sum(axis=1) / (away**2).sum(axis=1))


def _std_of_differences(x: Block) -> Block:
    steps = np.diff(x, axis=1)
    known = ~np.isnan(steps)
    count = known.sum(axis=1)
    steps = np.where(known, steps, 0.0)
    mean = steps.sum(axis=1) / count
    return np.asarray(np.sqrt(np.maximum((steps**2).sum(axis=1) / count - mean**2, 0.0)))


def _unscaled(x: Block) -> dict[str, Block]:
    absent = np.isnan(x)
    return {"energy": _energy(x, absent), "missing": absent.mean(axis=1), "stuck": _stuck(x)}


def _energy(x: Block, absent: NDArray[Any]) -> Block:
    """Missing samples stand at the mean, so that they carry no energy."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(absent, 0.0, x).sum(axis=1) / (~absent).sum(axis=1)
        centred = np.where(absent, 0.0, x - mean[:, None])
        power = np.abs(np.fft.rfft(centred, axis=1)[:, 1:]) ** 2
        return np.asarray(power.max(axis=1) / power.sum(axis=1))


def _stuck(x: Block) -> Block:
    equal = x[:, 1:] == x[:, :-1]
    run = longest = np.zeros((x.shape[0], x.shape[2]), np.int64)
    for step in range(equal.shape[1]):
        run = (run + 1) * equal[:, step]
        longest = np.maximum(longest, run)
    return np.asarray((longest + (longest > 0)) / x.shape[1])
