"""Window statistics a column at a time: from a frame in memory, or from the file of the feature step, piece by piece."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from components.workspace.store import digest_of

if TYPE_CHECKING:
    import pandas as pd

STATISTICS_FILE = "statistics.parquet"
ROWS_A_GROUP = 65_536
"""Windows in a row group of the file: what is read at once when a part of a column is wanted."""


def save_statistics(statistics: pd.DataFrame, folder: Path) -> None:
    """Write the columns of `window_statistics` so that `FileColumns` reads them in pieces."""
    statistics.to_parquet(folder / STATISTICS_FILE, index=False, row_group_size=ROWS_A_GROUP)


class Columns(Protocol):
    """Named columns with one entry a window."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def digest(self) -> str | None:
        """Of everything the feature step put out; None for what was never a step's result."""

    def __len__(self) -> int: ...

    def read(self, name: str, begin: int, end: int) -> NDArray[Any]:
        """Entries ``begin`` to ``end`` (exclusive) of the column."""


def as_columns(statistics: pd.DataFrame | Columns) -> Columns:
    return statistics if isinstance(statistics, FrameColumns | FileColumns) else FrameColumns(cast("pd.DataFrame", statistics))


@dataclass(frozen=True)
class FrameColumns:
    """The columns of a frame in memory."""

    frame: pd.DataFrame
    digest: str | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(str(c) for c in self.frame.columns)

    def __len__(self) -> int:
        return len(self.frame)

    def read(self, name: str, begin: int, end: int) -> NDArray[Any]:
        return np.asarray(self.frame[name].to_numpy()[begin:end])


@dataclass(frozen=True)
class FileColumns:
    """The statistics in the output ``folder`` of the feature step; threads may share it."""

    folder: Path
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @cached_property
    def digest(self) -> str | None:
        return digest_of(self.folder)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(self._file.schema_arrow.names)

    @cached_property
    def _file(self) -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetFile(self.folder / STATISTICS_FILE, memory_map=True)

    @cached_property
    def _begins(self) -> NDArray[np.int64]:
        """(row groups + 1,) where each begins."""
        meta = self._file.metadata
        return np.concatenate([[0], np.cumsum([meta.row_group(g).num_rows for g in range(meta.num_row_groups)])]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def read(self, name: str, begin: int, end: int) -> NDArray[Any]:
        with self._lock:
            first = int(np.searchsorted(self._begins, begin, side="right")) - 1
            last = int(np.searchsorted(self._begins, end, side="left"))
            groups = list(range(max(first, 0), max(last, first)))
            if not groups:
                return np.empty(0, np.float32)
            table = self._file.read_row_groups(groups, columns=[name], use_threads=False)
        shift = int(self._begins[groups[0]])
        return np.asarray(table.column(0).to_numpy()[begin - shift : end - shift])
