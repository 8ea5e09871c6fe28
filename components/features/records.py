"""What happened to devices beside telemetry: events, errors, maintenance, notes; each at a time, with a code, perhaps text.

A file has the columns device_id, time (ISO 8601; UTC where it has no offset), code and perhaps text. Records are kept
device by device in order of time, so that windows find theirs by binary search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.features.csv_text import line_of, read_csv_text
from components.workspace.errors import InputError, NotFound

if TYPE_CHECKING:
    import pandas as pd

Micros = NDArray[np.int64]
Spans = list[tuple[str, int, int]]
"""Device, its first window, the window past its last."""

COLUMNS = ("device_id", "time", "code")
TEXT = "text"


@dataclass(frozen=True)
class Records:
    """(records,) each, sorted by device and time; ``times`` in microseconds since 1970, ``texts`` None without notes."""

    file: Path
    devices: NDArray[Any]
    times: Micros
    codes: NDArray[Any]
    texts: NDArray[Any] | None
    _asked: dict[tuple[str, str], Records] = field(default_factory=dict, repr=False, compare=False)

    def only(self, code: str | None) -> Records:
        """Those of ``code``, a number as its text; all of them for None."""
        if code is None:
            return self
        return self._once(("code", str(code)), lambda: self.codes == str(code))

    def where(self, mask: NDArray[np.bool_]) -> Records:
        """Those under ``mask``."""
        texts = None if self.texts is None else self.texts[mask]
        return Records(self.file, self.devices[mask], self.times[mask], self.codes[mask], texts)

    def saying(self, pattern: str) -> Records:
        """Those whose text holds the RE2 expression ``pattern``.

        Raises:
            InputError: there is no text, or the pattern is none.
        """
        if self.texts is None:
            raise InputError(f"{self.file}: has no column {TEXT}", hint="add one, or count codes instead")
        check_pattern(pattern)
        return self._once(("text", pattern), lambda: _matching(self.texts, pattern))

    def count(self, spans: Spans, begin: Micros, end: Micros) -> NDArray[np.int64]:
        """(windows,) records from ``begin`` to ``end`` (exclusive) of the window's device."""
        found = np.zeros(len(begin), np.int64)
        for device, a, b in spans:
            times = self.of(device)
            if len(times):
                until = np.searchsorted(times, end[a:b], side="left")
                found[a:b] = until - np.searchsorted(times, begin[a:b], side="left")
        return found

    def since(self, spans: Spans, end: Micros) -> NDArray[np.float64]:
        """(windows,) seconds from the last record before ``end`` to ``end``, NaN without one."""
        found = np.full(len(end), np.nan)
        for device, a, b in spans:
            times = self.of(device)
            if len(times):
                last = np.searchsorted(times, end[a:b], side="left") - 1
                found[a:b] = np.where(last >= 0, (end[a:b] - times[np.maximum(last, 0)]) / 1e6, np.nan)
        return found

    def of(self, device: str) -> Micros:
        """Times of one device's records, rising."""
        begin, end = self._places.get(device, (0, 0))
        return self.times[begin:end]

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        names, first, counts = np.unique(self.devices.astype(str), return_index=True, return_counts=True)
        return {str(n): (int(f), int(f + c)) for n, f, c in zip(names, first, counts, strict=True)}

    def _once(self, asked: tuple[str, str], mask: Callable[[], NDArray[np.bool_]]) -> Records:
        """The part under ``mask``, kept, because every part of the windows asks the same."""
        if asked not in self._asked:
            self._asked[asked] = self.where(mask())
        return self._asked[asked]


def read_records(file: Path) -> Records:
    """Read and check a CSV or Parquet file.

    Raises:
        NotFound: there is no such file.
        InputError: it is no table, lacks a column, or a line has no device, time or code; the message has the line.
    """
    if not file.is_file():
        raise NotFound(f"no file {file}", hint="write it, or take its name out of records: in muster.yaml")
    frame = _table(file)
    if missing := [c for c in COLUMNS if c not in frame.columns]:
        raise InputError(f"{file}: no column {', '.join(missing)}", hint=f"it has {', '.join(map(str, frame.columns))}")
    times = _times(file, frame["time"])
    for column in ("device_id", "code"):
        empty = frame[column].isna() | (frame[column].astype("str") == "")
        if empty.any():
            raise InputError(
                f"{_where(file, int(empty.argmax()))}, column {column}: is empty", hint=f"a record needs {', '.join(COLUMNS)}"
            )
    devices = frame["device_id"].astype("str").to_numpy(object)
    order = np.lexsort((times, devices.astype(str)))
    texts = frame[TEXT].fillna("").astype("str").to_numpy(object)[order] if TEXT in frame.columns else None
    return Records(file, devices[order], times[order], frame["code"].astype("str").to_numpy(object)[order], texts)


def check_pattern(pattern: str) -> None:
    """Refuse what is no RE2 expression.

    Raises:
        InputError: ``pattern`` is no RE2 expression.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        why = str(error).removeprefix("Invalid regular expression: ")
        raise InputError(f"pattern '{pattern}': {why}", hint="patterns are RE2: no look-around, no back references") from None


def _matching(texts: NDArray[Any] | None, pattern: str) -> NDArray[np.bool_]:
    import pyarrow as pa
    import pyarrow.compute as pc

    matches = pc.match_substring_regex(pa.array(texts, pa.string()), pattern)
    return np.asarray(matches.to_numpy(zero_copy_only=False), bool)


def _table(file: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    if file.suffix != ".parquet":
        return read_csv_text(file)
    try:
        return pd.read_parquet(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{file}: no Parquet: {str(error).strip()}", hint="mend the file there, or write it anew") from None


def _times(file: Path, column: pd.Series[Any]) -> Micros:
    """(records,) microseconds since 1970."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        raise InputError(f"{file}, column time: holds numbers", hint="write times, as ISO 8601 text or time stamps")
    times = pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
    if (bad := times.isna()).any():
        row = int(bad.argmax())
        raise InputError(f"{_where(file, row)}, column time: '{column.iloc[row]}' is no time", hint="write ISO 8601 in UTC")
    return np.asarray(times.dt.as_unit("us").astype("int64").to_numpy())


def _where(file: Path, row: int) -> str:
    return f"{file}, row {row + 1}" if file.suffix == ".parquet" else f"{file}, line {line_of(file, row)}"
