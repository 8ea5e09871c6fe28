"""A first workspace for telemetry that is already there: look at the files, guess the contract, mark every guess."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from components.ingestion.draft import draft
from components.ingestion.inventory import inventory_csv, synthetic_inventory
from components.ingestion.scaffold import build_workspace, copy_profiles, shipped_profiles
from components.workspace.errors import InputError, NotFound
from components.workspace.files import sha256_json, write_text

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SEED = 7
DEVICE_NAMES = ("device_id", "device", "deviceid", "machine", "machine_id", "asset", "asset_id", "unit", "unit_id", "host", "id")
TIME_NAMES = ("time", "timestamp", "ts", "datetime", "date", "t", "step", "cycle")
CONTEXT_NAMES = {
    "hardware_profile": ("hardware_profile", "profile"),
    "firmware_version": ("firmware_version", "firmware", "fw", "fw_version"),
    "site": ("site", "location", "plant"),
}
_SAMPLED_ROWS = 200_000
_RARE = 0.001  # share of readings at either end that may be sentinels
UNIX_EPOCH, INVENTED_EPOCH = "1970-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
_EPOCH_UNITS = (("s", 1e9), ("ms", 1e12), ("us", 1e15), ("ns", 1e18))
"""Numbers of each unit since 1970 are above this since 2001, and below 1000 times this until long after us."""


@dataclass(frozen=True)
class GuessedChannel:
    """A numeric column: declared ``dtype``, what was seen, and the unit its metadata names ('' if none)."""

    name: str
    dtype: str
    low: float
    high: float
    unit: str


@dataclass(frozen=True)
class Guess:
    """Everything that was read out of the files. ``epoch`` and ``epoch_unit`` are '' where the time holds time stamps."""

    source: Path
    format: str
    device: str
    time: str
    epoch: str
    epoch_unit: str
    interval_s: float
    channels: tuple[GuessedChannel, ...]
    context: dict[str, str]
    ignored: tuple[str, ...]
    devices: tuple[str, ...]
    steps_a_device: int
    quarter_before_end: str


def init_from_files(source: Path, target: Path) -> bool:
    """Make a workspace in ``target`` for the Parquet or CSV files below ``source``; whether anything was done.

    Raises:
        NotFound: there are no such files.
        InputError: no column can be the device, the time or a channel.
        Conflict: ``target`` holds something else.
    """
    guess = guess_contract(source.resolve())

    def fill(folder: Path) -> None:
        copy_profiles(folder)
        devices = synthetic_inventory(guess.devices, "fleet", shipped_profiles(), SEED)
        write_text(folder / "inventory.csv", inventory_csv(devices))
        write_text(folder / "muster.yaml", draft(guess, _slug(target.resolve().name), shipped_profiles(), SEED))

    return build_workspace(target, sha256_json(["from", repr(guess)]), fill)


def guess_contract(source: Path) -> Guess:
    """Look at all files below ``source`` for names, types and ranges, and at the first rows of them for the rest."""
    import pandas as pd

    files, kind = _files(source)
    tables = _readable(files)
    names = [n for n in tables[0].column_names if all(n in t.column_names for t in tables)]
    where = f"{source} (columns {', '.join(names)})"
    device = _named(names, DEVICE_NAMES)
    if device is None:
        raise InputError(f"{where}: no column names a device", hint=f"call one of them {', '.join(DEVICE_NAMES[:4])}")
    time = _named([n for n in names if n != device], TIME_NAMES)
    if time is None:
        raise InputError(f"{where}: no column says the time", hint=f"call one of them {', '.join(TIME_NAMES[:4])}")
    context = {k: n for k, known in CONTEXT_NAMES.items() if (n := _named(names, known)) and n not in {device, time}}
    context.pop("hardware_profile", None)  # names of profiles here are not the shipped ones
    rest = [n for n in names if n not in {device, time, *context.values()}]
    channels = tuple(c for n in rest if (c := _channel(n, tables)) is not None)
    if not channels:
        raise InputError(f"{where}: no numeric column is left to be a channel", hint="channels are columns of numbers")
    taken = {device, time, *context.values(), *(c.name for c in channels)}
    ignored = tuple(sorted({n for t in tables for n in t.column_names} - taken))
    sample = pd.concat([t.select([device, time]).slice(0, _SAMPLED_ROWS // len(tables) + 1).to_pandas() for t in tables])
    guess = Guess(source, kind, device, time, "", "", 1.0, channels, context, ignored, _devices(tables, device), 0, "")
    return _with_times(guess, sample.rename(columns={device: "device", time: "time"}), sum(len(t) for t in tables))


def _files(source: Path) -> tuple[list[Path], str]:
    for kind in ("parquet", "csv"):
        if files := sorted(source.rglob(f"*.{kind}")):
            return files, kind
    raise NotFound(f"no Parquet or CSV files below {source}", hint="give the folder that holds them")


def _readable(files: list[Path]) -> list[pa.Table]:
    """Files that cannot be read are passed over, as ingestion passes over them, unless none can be read."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    tables, problem = [], ""
    for file in files:
        try:
            tables.append(pq.ParquetFile(file).read() if file.suffix == ".parquet" else pa_csv.read_csv(file))
        except (pa.ArrowException, OSError) as error:
            problem = f"{file}: {str(error).splitlines()[0]}"
    if not tables:
        raise InputError(problem, hint="mend the files, or name another folder")
    return tables


def _named(names: list[str], known: tuple[str, ...]) -> str | None:
    """The column whose name comes first in ``known``, whatever its case."""
    by_lower = {n.lower(): n for n in reversed(names)}
    return next((by_lower[k] for k in known if k in by_lower), None)


def _channel(name: str, tables: list[pa.Table]) -> GuessedChannel | None:
    """None for what is no number or never has a value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    fields = [t.schema.field(name) for t in tables]
    numeric = [pa.types.is_integer(f.type) or pa.types.is_floating(f.type) or pa.types.is_null(f.type) for f in fields]
    if not all(numeric) or not name.isidentifier():
        return None
    values = pa.chunked_array([c for t in tables for c in t.column(name).cast(pa.float64()).chunks])
    low, usual_low, usual_high, high = pc.quantile(values, [0, _RARE, 1 - _RARE, 1]).to_pylist()
    if low is None:
        return None
    span = usual_high - usual_low
    if low < usual_low - span or high > usual_high + span:  # a sentinel such as -999, not a reading
        low, high = usual_low, usual_high
    unit = next((f.metadata[b"unit"].decode() for f in fields if f.metadata and b"unit" in f.metadata), "")
    kinds = {str(f.type) for f in fields}
    dtype = "float64" if "double" in kinds else "float32" if kinds & {"float", "halffloat", "null"} else "int64"
    return GuessedChannel(name, dtype, low, high, unit)


def _devices(tables: list[pa.Table], device: str) -> tuple[str, ...]:
    import pyarrow as pa
    import pyarrow.compute as pc

    found: set[str] = set()
    for table in tables:
        found.update(str(d).strip() for d in pc.unique(table.column(device).cast(pa.string())).to_pylist() if d is not None)
    if not found:
        raise InputError(f"column {device} names no device", hint="every row needs a device")
    return tuple(sorted(found))


def _with_times(guess: Guess, sample: pd.DataFrame, rows: int) -> Guess:
    """``guess`` with the unit of time, the sampling interval and what follows from them."""
    import pandas as pd

    epoch, unit = "", ""
    if pd.api.types.is_numeric_dtype(sample["time"]):
        unit = _epoch_unit(float(sample["time"].median()))
        epoch = UNIX_EPOCH if unit else INVENTED_EPOCH
        nanoseconds = sample["time"].astype("float64") * {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0, "": 1e9}[unit]
        times = pd.Timestamp(epoch) + pd.to_timedelta(nanoseconds.round(), unit="ns", errors="coerce")
    else:
        times = pd.to_datetime(sample["time"], utc=True, format="ISO8601", errors="coerce")
    if times.notna().sum() < 2:
        raise InputError(f"column {guess.time} cannot be read as times", hint="write ISO 8601 in UTC, or numbers since 1970")
    known = sample.assign(time=times).dropna().sort_values(["device", "time"])
    steps = known.groupby("device")["time"].diff().dt.total_seconds()
    steps = steps[steps > 0]
    interval = _even(float(steps.median())) if len(steps) else 1.0
    if epoch == INVENTED_EPOCH:
        unit = "step" if interval == 1.0 else "s"
    late = known["time"].sort_values().iloc[len(known) * 3 // 4].round("s")
    return replace(
        guess,
        epoch=epoch,
        epoch_unit=unit,
        interval_s=interval,
        steps_a_device=max(rows // len(guess.devices), 1),
        quarter_before_end=late.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _epoch_unit(typical: float) -> str:
    """The unit in which ``typical`` is a time since 1970; '' where it can only be a counter."""
    return next((unit for unit, least in reversed(_EPOCH_UNITS) if typical >= least), "")


def _even(seconds: float) -> float:
    """Whole seconds where jitter alone stands against them."""
    whole = float(round(seconds))
    return whole if whole and abs(seconds - whole) < 0.01 * whole else float(f"{seconds:.6g}")


def _slug(name: str) -> str:
    """``name`` as `muster.yaml` takes it."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:63] or "workspace"
