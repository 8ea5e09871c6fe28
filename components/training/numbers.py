"""How far predicted numbers are from the truth, over all windows and at the end of each device's record.

A window's truth is that of the segment which holds its last step, clipped to the task's range, as its target was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.features.segments import at_the_end
from components.workspace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

CYCLES = "cycles"
"""The unit in which `phm08` is defined."""
_EARLY, _LATE = 13.0, 10.0

Floats = NDArray[np.float64]


def number_metrics(index: pd.DataFrame, wanted: Floats, got: Floats, unit: str) -> dict[str, float]:
    """`rmse`, `mae`; `last_rmse` and, in cycles, `last_phm08` over the last judged window of each device.

    ``index``: windows as in `Windows.index`; ``wanted``: (windows,), NaN where nobody knows; empty where nothing is known.
    """
    known = ~np.isnan(wanted)
    if not known.any():
        return {}
    errors = got[known] - wanted[known]
    device = index["device_id"].to_numpy()[known]
    last = errors[np.append(device[1:] != device[:-1], True)]  # windows are ordered by device and time
    found = {"rmse": rmse(errors), "mae": float(np.abs(errors).mean()), "last_rmse": rmse(last)}
    return found | ({"last_phm08": phm08(last)} if unit == CYCLES else {})


def rmse(errors: Floats) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def phm08(errors: Floats) -> float:
    """Sum over devices of exp(-d/13) - 1 for d < 0 and exp(d/10) - 1 else: to promise too much life costs more.

    ``errors``: (devices,) predicted less true remaining life, in cycles. Saxena et al., "Damage propagation modeling for
    aircraft engine run-to-failure simulation", PHM 2008, equation 11.
    """
    return float(np.expm1(np.where(errors < 0, -errors / _EARLY, errors / _LATE)).sum())


def true_numbers(index: pd.DataFrame, segments: pd.DataFrame, span: tuple[float, float], interval_s: float) -> Floats:
    """(windows,) truth at each window's last step, inside ``span``; NaN where no segment says.

    Raises:
        InputError: a segment's value is no finite number.
    """
    import pandas as pd

    values = pd.to_numeric(segments["value"], errors="coerce").to_numpy(np.float64)
    if (bad := np.flatnonzero(~np.isfinite(values))).size:
        text = segments["value"].iloc[bad[0]]
        raise InputError(f"value '{text}' of a regression is no number", hint="mend the segments or leave them out")
    found = at_the_end(index, segments, interval_s)
    return np.asarray(np.clip(np.append(values, np.nan)[found], *span))
