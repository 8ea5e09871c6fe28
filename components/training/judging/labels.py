"""Labels of telemetry: one a row, or segments of time; both become segments of the model's tasks.

A row file has device, time, and a column `label` (0 and 1, or class names) or columns named after tasks; only the time
between a device's first and last labelled row is judged. A segment file has device_id, start, end (end exclusive) and
perhaps task, value, and root_cause (channels separated by `;`); time outside segments is normal. Numbers of a regression
count for the windows that end in their row or segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.training.judging.detector import Detector
from components.training.judging.telemetry import read_table
from components.workspace.errors import InputError, NotFound
from components.workspace.settings import Telemetry

if TYPE_CHECKING:
    import pandas as pd

LABEL = "label"
_YES, _NO = {"1", "1.0", "true", "anomaly", "yes"}, {"0", "0.0", "false", "normal", "no"}
_FACTORS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}


@dataclass(frozen=True)
class Truth:
    """``segments``: device_id, start, end (UTC, end exclusive), task, value, root_cause ('' where none is given).

    ``judged``: device_id, start, end of the time that labels cover, None when they cover everything.
    """

    segments: pd.DataFrame
    judged: pd.DataFrame | None
    notes: tuple[str, ...]

    def of(self, task: str) -> pd.DataFrame:
        return self.segments[self.segments["task"] == task]


def read_labels(file: Path, detector: Detector, telemetry: Telemetry) -> Truth:
    """The labels in ``file``, Parquet or CSV, for the tasks of the detector.

    Raises:
        NotFound: no such file.
        InputError: it is neither form, a time or a label cannot be read, or a root cause is no channel.
    """
    if not file.is_file():
        raise NotFound(f"no file {file}", hint="name a CSV or Parquet file with labels")
    frame = read_table(file).to_pandas()
    device = next((n for n in (telemetry.device, "device_id", "device") if n in frame.columns), None)
    if device is None:
        raise InputError(f"{file}: no column {telemetry.device}; it has {', '.join(frame.columns)}", hint="name the devices")
    frame = frame.rename(columns={device: "device_id"})
    frame["device_id"] = frame["device_id"].astype("str").str.strip()
    if {"start", "end"} <= set(frame.columns):
        return _segments(file, frame, detector, telemetry)
    if telemetry.time.column in frame.columns:
        return _rows(file, frame, detector, telemetry)
    raise InputError(
        f"{file}: neither start and end nor {telemetry.time.column} among {', '.join(frame.columns)}",
        hint="give segments (device_id, start, end) or rows (device, time, label)",
    )


def _segments(file: Path, frame: pd.DataFrame, detector: Detector, telemetry: Telemetry) -> Truth:
    for name in ("start", "end"):
        frame[name] = _times(file, frame[name], telemetry)
    if (bad := np.flatnonzero((frame["end"] <= frame["start"]).to_numpy())).size:
        raise InputError(f"{file}, line {bad[0] + 2}: end is not after start", hint="ends are exclusive")
    for name in ("task", "value", "root_cause"):
        frame[name] = frame[name].fillna("").astype("str").str.strip() if name in frame.columns else ""
    _check_channels(file, frame["root_cause"], detector)
    known = [detector.anomaly, *detector.classes, *detector.numbers]
    foreign = frame[(frame["task"] != "") & ~frame["task"].isin(known)]
    notes = []
    if len(foreign):
        notes.append(f"{len(foreign):,} segments of {', '.join(sorted(set(foreign['task'])))}: no task of this model")
    frame = frame.drop(foreign.index)
    return Truth(_tasked(file, frame, detector), None, tuple(notes))


def _tasked(file: Path, frame: pd.DataFrame, detector: Detector) -> pd.DataFrame:
    """Every segment under its task. Without a task, a class name belongs to the task that has it.

    Where nobody named anomalies, whatever is not a task's first class is one.
    """
    import pandas as pd

    owner = {name: task for task, names in reversed(list(detector.classes.items())) for name in names}
    bare = frame["task"] == ""
    task = frame["task"].where(~bare, frame["value"].map(owner).fillna(detector.anomaly))
    if (bad := np.flatnonzero((task == "").to_numpy())).size:
        raise InputError(
            f"{file}, line {int(frame.index[bad[0]]) + 2}: '{frame['value'].iloc[bad[0]]}' is a class of no task of the model",
            hint=f"its classes are {', '.join(owner) or 'none'}",
        )
    frame = frame.assign(task=task)
    if detector.anomaly and not (frame["task"] == detector.anomaly).any():
        normal = {names[0] for names in detector.classes.values()}
        derived = frame[~frame["value"].isin(normal) & ~frame["task"].isin(list(detector.numbers))].assign(
            task=detector.anomaly, value="anomaly"
        )
        frame = pd.concat([frame, derived], ignore_index=True)
    return frame[["device_id", "start", "end", "task", "value", "root_cause"]].reset_index(drop=True)


def _rows(file: Path, frame: pd.DataFrame, detector: Detector, telemetry: Telemetry) -> Truth:
    import pandas as pd

    columns = [n for n in (LABEL, detector.anomaly, *detector.classes) if n and n in frame.columns]
    numbers = [n for n in detector.numbers if n in frame.columns]
    if not columns and not numbers:
        raise InputError(f"{file}: no column {LABEL} among {', '.join(frame.columns)}", hint="call the labels so")
    if frame.empty:
        raise InputError(f"{file}: no row of labels", hint="a device that is normal throughout has rows of 0")
    if frame.empty:
        raise InputError(f"{file}: no row of labels", hint="a device that is normal throughout has rows of 0")
    frame["start"] = _times(file, frame[telemetry.time.column], telemetry)
    frame = frame.sort_values(["device_id", "start"], kind="stable").reset_index(drop=True)
    step = pd.Timedelta(seconds=telemetry.interval_s)
    parts = [_runs(frame, _values(file, frame[name], name, detector), step) for name in columns]
    parts += [_steps(frame, name, step) for name in numbers]
    span = frame.groupby("device_id")["start"].agg(["min", "max"]).reset_index()
    judged = pd.DataFrame({"device_id": span["device_id"], "start": span["min"], "end": span["max"] + step})
    found = pd.concat(parts, ignore_index=True)
    if found.empty:
        return Truth(found[["device_id", "start", "end", "task", "value", "root_cause"]], judged, ())
    return Truth(_tasked(file, found, detector), judged, ())


def _values(file: Path, labels: pd.Series[Any], name: str, detector: Detector) -> pd.Series[Any]:
    """Labels as text: '' normal or not labelled, 'anomaly', or a class."""
    text = labels.astype("str").str.strip().where(labels.notna(), "")
    classes = {c for names in detector.classes.values() for c in names}
    lower = text.str.lower()
    normal = lower.isin(_NO) & ~text.isin(classes)
    said = text.where(text.isin(classes) | ~lower.isin(_YES), "anomaly").where(~normal, "")
    if (bad := said[(said != "") & (said != "anomaly") & ~said.isin(classes)]).size:
        raise InputError(
            f"{file}, column {name}: '{bad.iloc[0]}' is neither 0 nor 1 nor a class of the model",
            hint=f"its classes are {', '.join(sorted(classes)) or 'none'}",
        )
    return said


def _runs(frame: pd.DataFrame, values: pd.Series[Any], step: pd.Timedelta) -> pd.DataFrame:
    """Unbroken runs of equal labels as segments; a gap of more than half a step ends a run."""
    late = (frame["start"] - frame["start"].shift()) > 1.5 * step
    begins = (values != values.shift()) | (frame["device_id"] != frame["device_id"].shift()) | late
    runs = frame.assign(value=values, run=begins.cumsum())[values != ""].groupby("run")
    found = runs.agg(device_id=("device_id", "first"), start=("start", "min"), last=("start", "max"), value=("value", "first"))
    return found.assign(end=found["last"] + step, task="", root_cause="").drop(columns="last").reset_index(drop=True)


def _steps(frame: pd.DataFrame, task: str, step: pd.Timedelta) -> pd.DataFrame:
    """A segment a row that has a number of ``task``."""
    some = frame[frame[task].notna() & (frame[task].astype("str").str.strip() != "")]
    value = some[task].astype("str").str.strip()
    return some[["device_id", "start"]].assign(end=some["start"] + step, value=value, task=task, root_cause="")


def _times(file: Path, said: pd.Series[Any], telemetry: Telemetry) -> pd.Series[Any]:
    """Times as the telemetry declares them; ISO 8601 is understood beside numbers since an epoch."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(said):
        times = pd.to_datetime(said, utc=True).dt.as_unit("us")
    elif telemetry.time.epoch is not None and (numbers := pd.to_numeric(said, errors="coerce")).notna().all():
        factor = _FACTORS.get(telemetry.time.unit, telemetry.interval_s * 1e6)
        micros = (numbers.astype("float64") * factor).round() + round(telemetry.time.start().timestamp() * 1e6)
        times = pd.to_datetime(micros.astype("int64"), unit="us", utc=True).dt.as_unit("us")
    else:
        times = pd.to_datetime(said.astype("str"), utc=True, format="ISO8601", errors="coerce").dt.as_unit("us")
    if (bad := np.flatnonzero(times.isna().to_numpy())).size:
        raise InputError(f"{file}, line {bad[0] + 2}: '{said.iloc[bad[0]]}' is no time", hint="write ISO 8601 in UTC")
    return times


def _check_channels(file: Path, causes: pd.Series[Any], detector: Detector) -> None:
    named = {name.strip() for text in causes.unique() for name in text.split(";") if name.strip()}
    if unknown := sorted(named - set(detector.channels)):
        raise InputError(
            f"{file}, column root_cause: {', '.join(unknown)}: no channel of the model",
            hint=f"its channels are {', '.join(detector.channels)}",
        )
