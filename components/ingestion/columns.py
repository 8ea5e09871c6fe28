"""One raw table -> the lake's columns, or a message that says which column breaks the contract and how.

A whole column of the wrong type or unit is a mistake of whoever set the source up: an InputError. A single cell of a
CSV that cannot be read is a bad row: its value becomes null and the lake's column `unreadable` says why, for validation
to put the row in quarantine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from components.workspace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from components.workspace.settings import Channel, Telemetry

CONTEXT = ("hardware_profile", "firmware_version", "site")
_MICROS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_FAR = 2.0**61  # microseconds; time stamps beyond overflow


def lake_table(table: pa.Table, telemetry: Telemetry, key: str) -> pa.Table:
    """Rows of the object ``key`` with device_id, time (UTC), the channels, `CONTEXT`, unreadable, object and row.

    Raises:
        InputError: a column is missing, unknown, of another type or in another unit than the contract says.
    """
    import pyarrow as pa

    _check_names(table.column_names, telemetry, key)
    unreadable = np.full(len(table), "", object)
    columns: dict[str, Any] = {
        "device_id": _text(table.column(telemetry.device), telemetry.device, key),
        "time": _times(table.column(telemetry.time.column), telemetry, key, unreadable),
    }
    for channel in telemetry.measured:
        if channel.name not in table.column_names:  # an optional one
            columns[channel.name] = pa.array(np.full(len(table), np.nan, lake_dtype(channel)), from_pandas=False)
            continue
        _check_unit(table.schema.field(channel.name), channel, key)
        columns[channel.name] = _numbers(table.column(channel.name), channel, key, unreadable)
    for name in CONTEXT:
        source = getattr(telemetry.context, name)
        columns[name] = _text(table.column(source), source, key).fill_null("") if source else pa.array([""] * len(table))
    columns["unreadable"] = pa.array(unreadable, pa.string())
    columns["object"] = pa.array([key] * len(table), pa.string())
    columns["row"] = pa.array(np.arange(len(table)), pa.int64())
    return pa.table(columns)


def lake_dtype(channel: Channel) -> str:
    """Channels become floats, so that NaN can say 'nothing was sent': float32 where it holds the dtype exactly."""
    return "float32" if channel.dtype in {"float32", "int16"} else "float64"


def _check_names(found: list[str], telemetry: Telemetry, key: str) -> None:
    context = [getattr(telemetry.context, name) for name in CONTEXT]
    wanted = [telemetry.device, telemetry.time.column, *(c.name for c in telemetry.measured), *(c for c in context if c)]
    if twice := sorted({n for n in found if found.count(n) > 1}):
        raise InputError(f"{key}: column {', '.join(twice)} is there twice", hint="keep one of them")
    optional = {c.name for c in telemetry.measured if c.optional}
    if missing := [n for n in wanted if n not in found and n not in optional]:
        raise InputError(
            f"{key}: no column {', '.join(missing)}",
            hint=f"it has {', '.join(found)}; mend the object, or say under telemetry.channels which are optional",
        )
    if unknown := [n for n in found if n not in wanted and n not in telemetry.ignored]:
        raise InputError(
            f"{key}: the contract does not know column {', '.join(unknown)}",
            hint="add it to telemetry.channels, rename it at its source, or list it under telemetry.ignored",
        )


def _check_unit(field: pa.Field, channel: Channel, key: str) -> None:
    unit = (field.metadata or {}).get(b"unit")
    if unit is not None and unit.decode() != channel.unit:
        raise InputError(
            f"{key}, column {channel.name}: is in {unit.decode()}, the contract wants {channel.unit}",
            hint="convert it at its source, or declare unit and range as they are sent",
        )


def _text(column: pa.ChunkedArray, name: str, key: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise _wrong_type(key, name, str(kind), "text")
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _numbers(column: pa.ChunkedArray, channel: Channel, key: str, unreadable: np.ndarray[Any, Any]) -> pa.Array:
    import pandas as pd
    import pyarrow as pa

    kind = column.type
    whole = channel.dtype.startswith("int")
    if pa.types.is_string(kind) and _is_csv(key):
        text = column.to_pandas().replace("", None)
        numbers = pd.to_numeric(text, errors="coerce").astype("float64")
        bad = (numbers.isna() & text.notna()).to_numpy()
        if bad.any() and numbers.notna().sum() == 0:
            raise _wrong_type(key, channel.name, f"text such as '{text[bad].iloc[0]}'", channel.dtype)
        _note(unreadable, bad, channel.name, text, "no number")
        values = numbers.to_numpy()
    elif pa.types.is_integer(kind) or pa.types.is_null(kind) or (pa.types.is_floating(kind) and not whole):
        values = column.cast(pa.float64()).to_numpy()
    else:
        raise _wrong_type(key, channel.name, str(kind), channel.dtype)
    if whole and (fraction := np.isfinite(values) & (values != np.round(values))).any():
        _note(unreadable, fraction, channel.name, values, "no whole number")
    with np.errstate(over="ignore"):
        return pa.array(values.astype(lake_dtype(channel)), from_pandas=False)


def _times(column: pa.ChunkedArray, telemetry: Telemetry, key: str, unreadable: np.ndarray[Any, Any]) -> pa.Array:
    """Time stamps in microseconds UTC; naive ones are taken as UTC."""
    import pandas as pd
    import pyarrow as pa

    name, kind, target = telemetry.time.column, column.type, pa.timestamp("us", tz="UTC")
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if telemetry.time.epoch is not None:
        if not (numeric or (text and _is_csv(key))):
            raise _wrong_type(key, name, str(kind), f"a number of {telemetry.time.unit} since the declared epoch")
        said = column.to_pandas()
        micros = _since_epoch(said, telemetry)
        bad = (micros.isna() & said.notna() & (said.astype("str") != "")).to_numpy()
        _note(unreadable, bad, name, said, "no time")
        whole = micros.fillna(0).astype("int64")
        return pa.array(whole, pa.int64(), mask=micros.isna().to_numpy()).cast(target)
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", tz=kind.tz), safe=False).cast(target)
    if not text:
        hint = "; numbers need telemetry.time.epoch and unit" if numeric else ""
        raise _wrong_type(key, name, str(kind), f"UTC time stamps{hint}")
    said = column.to_pandas()
    times = pd.to_datetime(said, utc=True, format="ISO8601", errors="coerce").dt.as_unit("us")
    bad = (times.isna() & said.notna() & (said != "")).to_numpy()
    _note(unreadable, bad, name, said, "no time")
    return pa.Array.from_pandas(times, type=target)


def _since_epoch(said: pd.Series[Any], telemetry: Telemetry) -> pd.Series[Any]:
    """Numbers of the declared unit -> microseconds since 1970 as float, NaN where that is no time."""
    import pandas as pd

    unit = telemetry.time.unit
    factor = telemetry.interval_s * 1e6 if unit == "step" else _MICROS[unit]
    micros = pd.to_numeric(said, errors="coerce").astype("float64") * factor
    micros = micros.round() + round(telemetry.time.start().timestamp() * 1e6)
    return micros.where(micros.abs() < _FAR)


def _note(unreadable: np.ndarray[Any, Any], bad: np.ndarray[Any, Any], name: str, said: Any, why: str) -> None:
    """Write down, for the few bad rows, what a cell said."""
    rows = np.flatnonzero(bad)
    unreadable[rows] = [f"{name}: {why}: '{value}'"[:120] for value in np.asarray(said, object)[rows]]


def _is_csv(key: str) -> bool:
    """Cells of a CSV have no type; columns of a Parquet file have one, and it must be right."""
    return key.endswith(".csv")


def _wrong_type(key: str, column: str, found: str, wanted: str) -> InputError:
    return InputError(
        f"{key}, column {column}: holds {found}, the contract wants {wanted}",
        hint="convert it at its source, or change the declaration under telemetry: in muster.yaml",
    )
