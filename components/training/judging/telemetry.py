"""Read telemetry that a model is to score: in the workspace's contract, or in the model's own when there is no workspace."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.features.streams import read_streams
from components.features.windows import cut_unseen
from components.ingestion.columns import CONTEXT, lake_table
from components.ingestion.guess import CONTEXT_NAMES, DEVICE_NAMES, TIME_NAMES
from components.training.judging.detector import Detector
from components.validation.rows import bad_rows, believed_span
from components.values import Windows
from components.workspace.errors import InputError, NotFound
from components.workspace.settings import Channel, Context, Telemetry, Time, Validation
from components.workspace.settings import Windows as Cut

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from components.workspace import Workspace

_RAW_REACH = 32767
_PLACEHOLDER_S = 1.0
_JITTER = 0.01
"""Share of the interval that a median may be off a whole second and still mean it."""


@dataclass(frozen=True)
class Contract:
    """How rows read and how they are cut into windows; ``notes`` say what had to be guessed."""

    telemetry: Telemetry
    cut: Cut
    notes: tuple[str, ...]


def read_windows(detector: Detector, path: Path, workspace: Workspace | None) -> tuple[Windows, Contract]:
    """Windows of the Parquet or CSV file or folder at ``path``; columns outside the contract are not read.

    Every device learns its scaling from its first samples in these files, as it does in the field.

    Raises:
        NotFound: no such files.
        InputError: a channel is missing, rows cannot be read, or no window is left.
    """
    files = _files(path)
    sample = _first_readable(files)
    contract = _declared(detector, workspace, sample.column_names) if workspace else _guessed(detector, sample, path)
    frame, notes = _frame(files, contract, workspace)
    if not workspace:
        contract = _with_interval(contract, frame)
    elif (blank := frame["hardware_profile"] == "").any():
        known = frame["device_id"].map(_inventory_profiles(workspace)).astype("str").fillna("")
        frame["hardware_profile"] = frame["hardware_profile"].where(~blank, known)
    streams = read_streams(workspace) if workspace else {}
    telemetry, cut = contract.telemetry, contract.cut
    windows, unplaced = cut_unseen(frame, telemetry, cut, detector.converter, detector.calibration, streams)
    if not len(windows):
        raise InputError(
            f"{path}: no window of {detector.steps} steps of {contract.telemetry.interval_s:g} s in {len(frame):,} rows",
            hint="bring longer telemetry, or check its time column and interval",
        )
    return windows, Contract(telemetry, cut, (*contract.notes, *notes, *unplaced))


def read_table(file: Path) -> pa.Table:
    """A Parquet or CSV file; CSV cells stay text, so that one bad cell is one bad row.

    Raises:
        InputError: the file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    try:
        if file.suffix != ".csv":
            return pq.ParquetFile(file).read()
        with file.open(encoding="utf-8-sig") as stream:
            header = stream.readline().strip().split(",")
        types = {name.strip('"'): pa.string() for name in header}
        options = pa_csv.ConvertOptions(column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=True)
        return pa_csv.read_csv(file, convert_options=options)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0][:200] or type(error).__name__
        raise InputError(f"{file} cannot be read: {reason}", hint="give Parquet files, or CSV files with a header") from None


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(f for f in path.rglob("*") if f.suffix in {".parquet", ".csv"} and f.is_file() and f.name[0] not in "._")
    if not found:
        raise NotFound(f"no Parquet or CSV file at {path}", hint="name a file or a folder of them")
    return found


def _first_readable(files: list[Path]) -> pa.Table:
    """The first file that can be read shows which columns there are; where none can, the error is that of the last."""
    for file in files[:-1]:
        with suppress(InputError):
            return read_table(file)
    return read_table(files[-1])


def _frame(files: list[Path], contract: Contract, workspace: Workspace | None) -> tuple[pd.DataFrame, list[str]]:
    """Rows of all files under the names of `Dataset.frame`, sorted; rows that validation would not accept are left out."""
    import pyarrow as pa

    telemetry = contract.telemetry
    context = [c for c in (getattr(telemetry.context, name) for name in CONTEXT) if c]
    wanted = {telemetry.device, telemetry.time.column, *(c.name for c in telemetry.measured), *context}
    parts = []
    for file in files:
        with suppress(InputError):
            table = read_table(file)
            parts.append((table.select([name for name in table.column_names if name in wanted]), file.name))
    unreadable = len(files) - len(parts)
    notes = [f"{unreadable:,} of {len(files):,} files cannot be read and were left out"] if unreadable else []
    frame = pa.concat_tables([lake_table(table, telemetry, name) for table, name in parts]).to_pandas()
    if not len(frame):
        raise InputError(f"{files[0]}{' and others' * (len(files) > 1)}: no rows", hint="give telemetry to score")
    bad = _bad(frame, telemetry, workspace)
    if bad.all():
        raise InputError("no row keeps the contract", hint="check device, time and channels of the data, and their ranges")
    notes += [f"{int(bad.sum()):,} of {len(frame):,} rows break the contract and were left out"] if bad.any() else []
    frame = frame[~bad].sort_values(["device_id", "time"], kind="stable").drop_duplicates(["device_id", "time"])
    frame[list(CONTEXT)] = frame[list(CONTEXT)].fillna("")
    return frame.reset_index(drop=True), notes


def _bad(frame: pd.DataFrame, telemetry: Telemetry, workspace: Workspace | None) -> NDArray[np.bool_]:
    """(rows,) whether validation would put the row into quarantine; without a workspace no ranges are known."""
    if workspace is None:
        span = believed_span(frame["time"], Validation().max_quarantined)
        unknown = frame["device_id"].isna() | frame["time"].isna() | (frame["unreadable"] != "")
        return np.asarray(unknown | (frame["time"] < span.first) | (frame["time"] > span.last))
    span = believed_span(frame["time"], workspace.settings.validation.max_quarantined)
    read = replace(workspace, settings=workspace.settings.model_copy(update={"telemetry": telemetry}))
    texts = dict.fromkeys(("hardware_profile", "firmware_version"), "category")
    return bad_rows(read, frame.astype(texts), span)[0] >= 0


def _declared(detector: Detector, workspace: Workspace, names: list[str]) -> Contract:
    """The workspace's contract; context columns that these files lack are not asked for."""
    telemetry = workspace.settings.telemetry
    if telemetry.names != detector.channels:
        raise InputError(
            f"the model reads {', '.join(detector.channels)}; the workspace declares {', '.join(telemetry.names)}",
            hint="name the workspace that the model was trained in",
        )
    if workspace.settings.windows.steps != detector.steps:
        raise InputError(
            f"the model reads windows of {detector.steps} steps; the workspace cuts {workspace.settings.windows.steps}",
            hint="name the workspace that the model was trained in, or train again",
        )
    declared = telemetry.context.model_dump()
    context = Context(**{key: column for key, column in declared.items() if column in names})
    return Contract(telemetry.model_copy(update={"context": context}), workspace.settings.windows, ())


def _inventory_profiles(workspace: Workspace) -> dict[str, str]:
    """device_id -> hardware profile, from the fleets' inventories as far as they are files, and there."""
    import pandas as pd

    columns = ["device_id", "hardware_profile"]
    files = sorted({workspace.path(fleet.inventory) for fleet in workspace.settings.fleets})
    frames = [
        pd.read_parquet(f, columns=columns) if f.suffix == ".parquet" else pd.read_csv(f, dtype="str", usecols=columns)
        for f in files
        if f.is_file()
    ]
    frames = [frame.dropna() for frame in frames]
    return {str(device): str(profile) for frame in frames for device, profile in frame.itertuples(index=False)}


def _guessed(detector: Detector, table: pa.Table, path: Path) -> Contract:
    """The model's channels and converters; device, time and context columns by their usual names."""
    names = table.column_names
    device = _first(names, DEVICE_NAMES, "device", path)
    time = _first(names, TIME_NAMES, "time", path)
    context = {key: next((n for n in usual if n in names), None) for key, usual in CONTEXT_NAMES.items()}
    channels = tuple(
        Channel(
            name=name,
            unit=_unit(table, name),
            dtype="float64",
            lsb=lsb,
            range=(offset - _RAW_REACH * lsb, offset + _RAW_REACH * lsb),
        )
        for name, lsb, offset in zip(detector.channels, detector.converter.lsb, detector.converter.offset, strict=True)
    )
    telemetry = Telemetry(
        device=device, time=_time(table, time), interval_s=_PLACEHOLDER_S, channels=channels, context=Context(**context)
    )
    cut = Cut(steps=detector.steps, stride=max(detector.steps // 2, 1))
    note = f"without a workspace: device is column {device}, time is column {time}, windows start every {cut.stride} steps"
    return Contract(telemetry, cut, (note,))


def _unit(table: pa.Table, channel: str) -> str:
    """What the file says itself: a model knows no units, so all files need only agree with the first."""
    field = table.schema.field(channel) if channel in table.column_names else None
    return ((field and field.metadata) or {}).get(b"unit", b"").decode()


def _first(names: list[str], usual: tuple[str, ...], what: str, file: Path) -> str:
    found = next((name for name in usual if name in names), None)
    if found is None:
        raise InputError(
            f"{file}: no column looks like the {what}; it has {', '.join(names)}",
            hint="name the workspace, whose telemetry: section says which column it is",
        )
    return found


def _time(table: pa.Table, column: str) -> Time:
    """Time stamps as they are; numbers as seconds, milliseconds, ... since 1970, by their size."""
    import pandas as pd

    values = pd.to_numeric(table.column(column).to_pandas().head(1000), errors="coerce").astype("float64")
    if str(table.schema.field(column).type).startswith(("timestamp", "date")) or values.isna().all():
        return Time(column=column)
    least = float(values.min())
    for unit, above in (("ns", 1e18), ("us", 1e15), ("ms", 1e12), ("s", 1e9)):
        if least >= above:
            return Time.model_validate({"column": column, "epoch": "1970-01-01T00:00:00Z", "unit": unit})
    raise InputError(
        f"column {column} counts from {least:g}: no time since 1970",
        hint="name the workspace, whose telemetry.time says what the numbers mean",
    )


def _with_interval(contract: Contract, frame: pd.DataFrame) -> Contract:
    """The sampling interval is the median step from a row of a device to the next, without the jitter of its clock."""
    same = (frame["device_id"] == frame["device_id"].shift()).to_numpy()
    micros = frame["time"].dt.as_unit("us").astype("int64").to_numpy()
    steps: np.ndarray[Any, Any] = np.diff(micros)[same[1:]]
    steps = steps[steps > 0]
    if not len(steps):
        raise InputError("every device has one row: no interval can be told", hint="bring more rows, or name the workspace")
    median = float(np.median(steps)) / 1e6
    whole = round(median)
    interval = float(whole) if whole and abs(median - whole) <= _JITTER * median else float(f"{median:.3g}")
    note = f"the sampling interval seen is {interval:g} s"
    return Contract(contract.telemetry.model_copy(update={"interval_s": interval}), contract.cut, (*contract.notes, note))
