"""Scores without labels: what a device would say of each window, and which channels it would blame."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.training.judging.detector import Detector, Said, listen, standing, top_channels
from components.training.judging.device import step_blame
from components.training.placing import placed
from components.values import Windows
from components.workspace.errors import InputError
from components.workspace.files import write_bytes

if TYPE_CHECKING:
    import pandas as pd

TOP = 3
"""Channels named for each window."""


def window_table(detector: Detector, windows: Windows) -> pd.DataFrame:
    """One row a window, by device and time: device_id, start, end, score, threshold, alarm, and what follows.

    ``<task>`` and ``<task>_<class>``: the class and the probability of each; ``<task>`` of a regression: the value in its unit;
    ``channel_1``..``channel_3`` and
    ``share_1``..: the channels with the largest shares of the residual. The threshold is null where none travels with
    the model, and then nothing alarms.
    """
    said = listen(detector, windows.codes, windows.profiles)
    table = windows.index[["device_id", "start", "end"]].copy()
    if detector.anomaly:
        table["score"] = said.score
        table["threshold"] = np.nan if detector.threshold is None else detector.threshold
        table["alarm"] = _alarms(detector, windows, said)
    for task, probabilities in said.probabilities.items():
        classes = detector.classes[task]
        table[task] = np.asarray(classes, object)[probabilities.argmax(axis=1)]
        for c, name in enumerate(classes):
            table[f"{task}_{name}"] = probabilities[:, c]
    for task, values in said.values.items():
        table[task] = values
    top = top_channels(said.shares, TOP)
    for place in range(top.shape[1]):
        table[f"channel_{place + 1}"] = np.asarray(detector.channels, object)[top[:, place]]
        table[f"share_{place + 1}"] = np.take_along_axis(said.shares, top[:, place : place + 1], axis=1)[:, 0]
    return table


def step_table(detector: Detector, windows: Windows, interval_s: float) -> pd.DataFrame:
    """One row a sampling step that a window covers: device_id, time, score, and ``residual_<channel>``.

    The score is the mean of the windows over the step; residuals are in normal variances, likewise.
    """
    import pandas as pd

    parts = []
    for device, index in windows.index.groupby("device_id", sort=True):
        rows = index.index.to_numpy()
        said = detector.score(windows.codes[rows], windows.profiles[rows])
        place = placed(index, interval_s, detector.core)
        covered = place.covered(np.ones(len(rows), bool))
        micros = round(place.begin * 1e6) + np.arange(len(covered)) * round(interval_s * 1e6)
        columns: dict[str, Any] = {"time": pd.to_datetime(micros, unit="us", utc=True)}
        if detector.anomaly:
            columns["score"] = place.mean(said.score)
        blame = step_blame(place, said.residual)
        columns |= {f"residual_{name}": blame[:, c].astype(np.float32) for c, name in enumerate(detector.channels)}
        part = pd.DataFrame(columns)[covered]
        part.insert(0, "device_id", str(device))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def write_parquet(table: pd.DataFrame, file: Path) -> Path:
    """Write the table whole or not at all; returns ``file``.

    Raises:
        InputError: the name of the file says that it is something else.
    """
    if file.suffix not in ("", ".parquet"):
        raise InputError(f"{file}: scores are written as Parquet", hint=f"name it {file.with_suffix('.parquet')}")
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    write_bytes(file, buffer.getvalue())
    return file


def _alarms(detector: Detector, windows: Windows, said: Said) -> NDArray[np.bool_]:
    """(windows,) whether the alarm of the window's device stands after it."""
    alarm = np.zeros(len(windows), bool)
    if detector.threshold is not None:
        for rows in windows.index.groupby("device_id").indices.values():
            alarm[rows] = standing(said.score[rows] >= detector.threshold, detector.raise_after, detector.clear_after)
    return alarm
