"""Which rows break the contract, and why: one vectorised pass over the whole lake."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from packaging.version import InvalidVersion, Version

from components.workspace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from components.workspace import Workspace

_LABELS = ("device_id", "hardware_profile", "firmware_version", "site", "unreadable", "object")
_MARGIN_SHARE = 0.25
_MARGIN_S = 86_400


@dataclass(frozen=True)
class Span:
    """The times that are believed, both ends included."""

    first: pd.Timestamp
    last: pd.Timestamp


def read_lake(lake: Path) -> pd.DataFrame:
    """All rows below ``lake``, text as categories, in no particular order of objects.

    Raises:
        InputError: there are no rows at all: every expectation would pass.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(lake.rglob("*.parquet"))
    if not files:
        raise InputError(f"the lake {lake} has no rows", hint="the raw objects are empty; look at what the gateways uploaded")
    tables = [pq.ParquetFile(f, read_dictionary=list(_LABELS)).read() for f in files]
    return pa.concat_tables(tables).unify_dictionaries().to_pandas()


def believed_span(times: pd.Series[Any], tolerated: float) -> Span:
    """The span of all but a ``tolerated`` share of rows at each end, widened by a quarter of itself and a day.

    Clocks that fell back to 1970 or ran off to 2106 stand far outside; no wall clock is asked, so the same data
    give the same answer on every day.
    """
    import pandas as pd

    known = times.dropna().sort_values(ignore_index=True)
    if known.empty:
        now = pd.Timestamp(0, tz="UTC")
        return Span(now, now)
    cut = int(min(tolerated, 0.25) * len(known))
    first, last = known.iloc[cut], known.iloc[len(known) - 1 - cut]
    margin = (last - first) * _MARGIN_SHARE + pd.Timedelta(seconds=_MARGIN_S)
    return Span(first - margin, last + margin)


def bad_rows(workspace: Workspace, frame: pd.DataFrame, span: Span) -> tuple[NDArray[np.int16], list[str]]:
    """(rows,) index into the list of reasons, -1 for a row that keeps the contract; the first reason counts."""
    settings = workspace.settings
    verdict = np.full(len(frame), -1, np.int16)
    reasons: list[str] = []

    def note(reason: str, bad: Any) -> None:
        fresh = np.asarray(bad, bool) & (verdict < 0)
        if fresh.any():
            verdict[fresh] = len(reasons)
            reasons.append(reason)

    note("a cell cannot be read", frame["unreadable"] != "")
    note("no device", frame["device_id"].isna())
    note("no time", frame["time"].isna())
    note("time outside the span of the data", (frame["time"] < span.first) | (frame["time"] > span.last))
    for channel in settings.telemetry.measured:
        values = frame[channel.name].to_numpy()
        low, high = np.asarray(channel.range, values.dtype)
        if not channel.nullable:
            note(f"{channel.name} is null", np.isnan(values))
        note(
            f"{channel.name} outside {channel.range[0]:g}..{channel.range[1]:g} {channel.unit}", (values < low) | (values > high)
        )
    if settings.telemetry.context.hardware_profile:
        note("unknown hardware profile", ~_category_mask(frame["hardware_profile"], ("", *settings.profiles).__contains__))
    if settings.telemetry.context.firmware_version:
        note("firmware version cannot be read", ~_category_mask(frame["firmware_version"], _is_version))
    return verdict, reasons


def _category_mask(column: pd.Series[Any], holds: Any) -> NDArray[np.bool_]:
    """(rows,) whether ``holds(text)``, asked once a distinct text."""
    answers = np.asarray([bool(holds(text)) for text in column.cat.categories] + [False])
    return answers[column.cat.codes.to_numpy()]


def _is_version(text: str) -> bool:
    try:
        return text == "" or bool(Version(text))
    except InvalidVersion:
        return False
