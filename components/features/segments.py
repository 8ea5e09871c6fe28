"""Segments: CSV files that say something about a device between two times (groups, gold labels, truth)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.features.csv_text import line_of, read_csv_text
from components.workspace.errors import InputError, NotFound

if TYPE_CHECKING:
    import pandas as pd


def read_segments(file: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """device_id, start, end (UTC, end exclusive) and ``columns`` as text.

    Raises:
        NotFound: there is no such file.
        InputError: it lacks a column, holds no times, an end that is not after its start, or a line of another width.
    """
    import pandas as pd

    if not file.is_file():
        raise NotFound(f"no file {file}", hint="write it, or take its key out of muster.yaml")
    frame = read_csv_text(file)
    wanted = ("device_id", "start", "end", *columns)
    if missing := [c for c in wanted if c not in frame.columns]:
        raise InputError(f"{file}: no column {', '.join(missing)}", hint=f"it has {', '.join(frame.columns)}")
    for column in ("start", "end"):
        times = pd.to_datetime(frame[column], utc=True, format="ISO8601", errors="coerce").dt.as_unit("us")
        if (bad := frame.index[times.isna()]).size:
            raise InputError(
                f"{file}, line {line_of(file, bad[0])}: '{frame[column][bad[0]]}' is no time", hint="write ISO 8601 in UTC"
            )
        frame[column] = times
    if (bad := frame.index[frame["end"] <= frame["start"]]).size:
        raise InputError(f"{file}, line {line_of(file, bad[0])}: end is not after start", hint="ends are exclusive")
    if (bad := frame.index[(frame[["device_id", *columns]] == "").any(axis=1)]).size:
        raise InputError(f"{file}, line {line_of(file, bad[0])}: a cell is empty", hint=f"every line needs {', '.join(wanted)}")
    return frame[list(wanted)]


def read_numbers(file: Path, task: str) -> pd.DataFrame:
    """Segments of ``task`` with ``value`` as float64; a file for several tasks has a column ``task`` too.

    Raises:
        NotFound: there is no such file.
        InputError: as `read_segments`, or a value of the task is no finite number.
    """
    import pandas as pd

    several = file.is_file() and "task" in file.open(encoding="utf-8").readline().strip().split(",")
    segments = read_segments(file, ("value", "task") if several else ("value",))
    if several:
        segments = segments[segments["task"] == task]
    numbers = pd.to_numeric(segments["value"], errors="coerce").astype("float64")
    if (bad := segments.index[~np.isfinite(numbers)]).size:
        raise InputError(
            f"{file}, line {line_of(file, bad[0])}: '{segments['value'][bad[0]]}' is no number of task '{task}'",
            hint="leave out what is not known",
        )
    return segments.assign(value=numbers).reset_index(drop=True)


def covering(index: pd.DataFrame, segments: pd.DataFrame) -> NDArray[np.int64]:
    """(windows,) position of the segment that holds the window whole, -1 where none does.

    Where segments of a device overlap, the one that starts last counts.
    """
    found = np.full(len(index), -1, np.int64)
    windows = index.reset_index(drop=True).groupby("device_id", sort=False).indices
    starts, ends = _micros(index["start"]), _micros(index["end"])
    for device, rows in segments.reset_index(drop=True).groupby("device_id", sort=False).indices.items():
        mine = windows.get(device)
        if mine is None:
            continue
        order = np.asarray(rows)[np.argsort(_micros(segments["start"])[rows], kind="stable")]
        begin, finish = _micros(segments["start"])[order], _micros(segments["end"])[order]
        last = np.searchsorted(begin, starts[mine], side="right") - 1
        inside = (last >= 0) & (ends[mine] <= finish[np.maximum(last, 0)])
        found[np.asarray(mine)[inside]] = order[last[inside]]
    return found


def at_the_end(index: pd.DataFrame, segments: pd.DataFrame, interval_s: float) -> NDArray[np.int64]:
    """(windows,) position of the segment that holds the window's last step, -1 where none does.

    Where segments of a device overlap, the one that starts last counts.
    """
    import pandas as pd

    last = index["end"] - pd.Timedelta(seconds=interval_s)
    moment = index.assign(start=last, end=last + pd.Timedelta(microseconds=1))
    return covering(moment, segments)


def touching(index: pd.DataFrame, segments: pd.DataFrame) -> NDArray[np.bool_]:
    """(windows,) whether any of the segments shares time with the window."""
    found = np.zeros(len(index), bool)
    windows = index.reset_index(drop=True).groupby("device_id", sort=False).indices
    starts, ends = _micros(index["start"]), _micros(index["end"])
    for device, rows in segments.reset_index(drop=True).groupby("device_id", sort=False).indices.items():
        mine = windows.get(device, np.empty(0, np.int64))
        begin, finish = np.sort(_micros(segments["start"])[rows]), np.sort(_micros(segments["end"])[rows])
        begun = np.searchsorted(begin, ends[mine], side="left")
        over = np.searchsorted(finish, starts[mine], side="right")
        found[mine] = begun > over
    return found


def _micros(times: pd.Series[Any]) -> NDArray[np.int64]:
    return np.asarray(times.dt.as_unit("us").astype("int64").to_numpy())
