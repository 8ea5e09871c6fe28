"""What a labelling function sees: windows as arrays with one entry a window, and what happened around them.

A view holds all windows, or a part of them that stays whole devices or is any run of windows (`Sees`). Nothing is
read before a function asks for it, and then only the column and the part that it asks for.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.features.columns import Columns, FrameColumns, as_columns
from components.labeling.functions import peers, spells
from components.labeling.functions.outside import Outside
from components.workspace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from components.values import Windows
    from components.workspace import Workspace

Sees = Literal["window", "device", "fleet"]
"""What else a function may look at beside the window it votes on: nothing, the device's other windows, all windows."""

_SCOPE: tuple[Sees, ...] = ("window", "device", "fleet")
Column = NDArray[np.float64]
_KEPT_BYTES = 256 * 2**20


def widest(*scopes: Sees) -> Sees:
    """What a function sees that needs each of ``scopes``."""
    return max(scopes, key=_SCOPE.index)


@dataclass(frozen=True)
class WindowView:
    """Statistics of every window: ``w.mean("flow")`` in physical units, ``w.z_mean("flow")`` in standard deviations of
    the device's own calibration; each a new float64 array (windows,), NaN where the channel sent nothing.

    ``index`` has device_id, start, end, site, hardware_profile and firmware_version; which windows are held out is not
    to be seen. ``interval_s`` is the time from sample to sample, ``stride_s`` from a window's start to the next. Functions
    share a view, so what they get is theirs or cannot be written to.
    """

    channels: tuple[str, ...]
    _index: pd.DataFrame
    columns: Columns
    samples: NDArray[np.float32]
    interval_s: float
    stride_s: float
    calibration_s: float
    outside: Outside
    sees: Sees = "fleet"
    begin: int = 0
    _read: dict[Any, NDArray[Any]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", _read_only(self.samples))

    @classmethod
    def of(cls, workspace: Workspace, windows: Windows, statistics: pd.DataFrame | Columns) -> WindowView:
        """All windows. ``statistics`` as a frame, or as columns that are read when they are needed."""
        settings = workspace.settings
        interval = settings.telemetry.interval_s
        return cls(
            windows.channels,
            windows.index.drop(columns="split").reset_index(drop=True),
            as_columns(statistics),
            windows.values,
            interval,
            interval * settings.windows.stride,
            2 * interval * settings.windows.calibration_steps,
            Outside.of(workspace),
        )

    @classmethod
    def of_statistics(cls, statistics: pd.DataFrame, channels: tuple[str, ...] = ()) -> WindowView:
        """Statistics alone, one row a window of one nameless device: for functions that look at nothing else."""
        import pandas as pd

        index = pd.DataFrame({"device_id": np.full(len(statistics), "", object)})
        samples = np.empty((len(statistics), 0, len(channels)), np.float32)
        return cls(channels, index, FrameColumns(statistics), samples, 0.0, 0.0, 0.0, Outside({}, {}))

    def part(self, begin: int, end: int, sees: Sees) -> WindowView:
        """Windows ``begin`` to ``end`` (exclusive), for functions that see no more than ``sees``."""
        index = self._index.iloc[begin:end].reset_index(drop=True)
        samples = self.samples[begin:end]
        read = {key: array[begin:end] for key, array in dict(self._read).items()}
        return replace(self, _index=index, samples=samples, sees=sees, begin=self.begin + begin, _read=read)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def index(self) -> pd.DataFrame:
        """A copy, as cheap as a view: pandas copies a column when it is written to."""
        return self._index.copy(deep=False)

    def mean(self, channel: str) -> Column:
        return self.column(f"{channel}_mean")

    def std(self, channel: str) -> Column:
        return self.column(f"{channel}_std")

    def min(self, channel: str) -> Column:
        return self.column(f"{channel}_min")

    def max(self, channel: str) -> Column:
        return self.column(f"{channel}_max")

    def slope(self, channel: str) -> Column:
        return self.column(f"{channel}_slope")

    def missing(self, channel: str) -> Column:
        return self.column(f"{channel}_missing")

    def stuck(self, channel: str) -> Column:
        return self.column(f"{channel}_stuck")

    def z_mean(self, channel: str) -> Column:
        return self.column(f"{channel}_z_mean")

    def z_std(self, channel: str) -> Column:
        return self.column(f"{channel}_z_std")

    def z_min(self, channel: str) -> Column:
        return self.column(f"{channel}_z_min")

    def z_max(self, channel: str) -> Column:
        return self.column(f"{channel}_z_max")

    def z_slope(self, channel: str) -> Column:
        return self.column(f"{channel}_z_slope")

    def column(self, name: str) -> Column:
        """Any column of `features.statistics`, e.g. ``flow_diff_std``."""
        if name not in self.columns.names:
            first = self.channels[0] if self.channels else ""
            known = sorted({c.removeprefix(first) for c in self.columns.names if c.startswith(first)})
            raise InputError(f"no statistic '{name}'", hint=f"channels: {', '.join(self.channels)}; endings: {', '.join(known)}")
        return self._once(name, lambda: self.columns.read(name, self.begin, self.begin + len(self))).astype(np.float64)

    def values(self, channel: str) -> NDArray[np.float32]:
        """(windows, steps) samples in physical units, NaN for missing; not to be written to."""
        if channel not in self.channels:
            raise InputError(f"no channel '{channel}'", hint=f"channels: {', '.join(self.channels)}")
        return np.asarray(self.samples[:, :, self.channels.index(channel)])

    def against_calibration(self, column: Column) -> Column:
        """``column`` as a ratio to its median over the device's calibration, so that devices can be compared."""
        import pandas as pd

        self._require("device", "against_calibration")
        device = self._index["device_id"]
        first = self._index.groupby("device_id", sort=False)["start"].transform("min")
        early = (self._index["end"] - first).dt.total_seconds() <= self.calibration_s
        usual = pd.Series(np.where(early, column, np.nan)).groupby(device.to_numpy(), sort=False).transform("median")
        return np.asarray(column / usual.to_numpy())

    def against_site(self, column: Column) -> Column:
        """``column`` less its median over the site's windows of the same start: what all devices see is no device's fault."""
        import pandas as pd

        self._require("fleet", "against_site")
        common = pd.Series(column).groupby([self._groups("site"), self.starts], sort=False).transform("median")
        return np.asarray(column - common.to_numpy())

    def against_peers(self, column: Column, by: str = "site") -> Column:
        """How far ``column`` stands from its peers, in robust standard deviations of theirs (`labeling.peers`).

        Peers are the windows of the same start of other devices of the same ``by``: site, hardware_profile or fleet.
        NaN where fewer than three of them have a value.
        """
        self._require("fleet", "against_peers")
        if by not in peers.GROUPS:
            raise InputError(f"no group '{by}' of peers", hint=f"groups: {', '.join(peers.GROUPS)}")
        return peers.against_peers(column, self.starts, self._groups(by))

    def lasting(self, condition: NDArray[np.bool_], for_s: float) -> NDArray[np.bool_]:
        """Where ``condition`` (windows,) holds in a run of the device's consecutive windows that spans ``for_s`` or more.

        A window that is left out of the data ends a run.
        """
        self._require("device", "lasting")
        if not 0 <= for_s < float("inf"):
            raise InputError(f"lasting for_s={for_s} is no length of time", hint="give seconds, 0 or more")
        return spells.lasting(condition, self.spans, self.starts, self.ends, round(for_s * 1e6), round(self.stride_s * 1e6))

    def count(self, records: str, code: str | None = None, within_s: float | None = None) -> NDArray[np.int64]:
        """(windows,) how many of `records:` (of ``code`` only) fall into the window, or into ``within_s`` before its end."""
        return self.outside.records(records).only(code).count(self.spans, *self.reach(within_s))

    def since(self, records: str, code: str | None = None) -> Column:
        """(windows,) seconds from the last record (of ``code`` only) before the window's end to that end; NaN without one."""
        return self.outside.records(records).only(code).since(self.spans, self.ends)

    def text(self, records: str, pattern: str, within_s: float | None = None) -> NDArray[np.bool_]:
        """(windows,) whether the text of a record in the window, or in ``within_s`` before its end, holds ``pattern``.

        Patterns are RE2: Python's without look-around and back references, and never slow. ``(?i)`` ignores case.
        """
        return self.outside.records(records).saying(pattern).count(self.spans, *self.reach(within_s)) > 0

    def model(self, name: str, output: str | None = None, missing: float = float("nan")) -> Column:
        """(windows, outputs) of the ONNX model ``name`` of `labeling.models`, fed (windows, steps, channels) float32 samples in
        physical units with ``missing`` in place of those that are not there. ``output`` names one of several outputs.
        """
        network = self.outside.model(name)
        return self._once(("model", name, output, repr(missing)), lambda: network(self.samples, output, missing)).copy()

    @property
    def spans(self) -> list[tuple[str, int, int]]:
        """Device, first window and window past the last, for each device; windows stand device by device."""
        return list(self._spans)

    @cached_property
    def _spans(self) -> list[tuple[str, int, int]]:
        device = self._index["device_id"].to_numpy()
        begins = np.flatnonzero(np.append(True, device[1:] != device[:-1])) if len(device) else np.empty(0, np.int64)
        ends = np.append(begins[1:], len(device))
        return [(str(device[a]), int(a), int(b)) for a, b in zip(begins, ends, strict=False)]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(windows,) microseconds since 1970."""
        return _read_only(self._index["start"].dt.as_unit("us").astype("int64").to_numpy())

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """(windows,) microseconds since 1970, exclusive."""
        return _read_only(self._index["end"].dt.as_unit("us").astype("int64").to_numpy())

    def _groups(self, by: str) -> NDArray[np.int64]:
        """(windows,) number of the window's site or hardware profile; the fleet is one group."""
        import pandas as pd

        if by == "fleet":
            return np.zeros(len(self), np.int64)
        return np.asarray(pd.factorize(self._index[by], use_na_sentinel=False)[0], np.int64)

    def reach(self, within_s: float | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(windows,) microseconds from which and before which records count."""
        if within_s is not None and not 0 < within_s < float("inf"):
            raise InputError(f"within_s={within_s} is no time before a window's end", hint="give seconds above 0")
        return (self.starts if within_s is None else self.ends - round(within_s * 1e6)), self.ends

    def _require(self, needed: Sees, method: str) -> None:
        if _SCOPE.index(self.sees) < _SCOPE.index(needed):
            raise InputError(
                f'{method} compares windows that a function declared sees="{self.sees}" does not see',
                hint=f'declare it sees="{needed}"',
            )

    def _once(self, key: Any, read: Any) -> NDArray[Any]:
        if key not in self._read:
            array = read()
            if sum(a.nbytes for a in self._read.values()) + array.nbytes > _KEPT_BYTES:
                self._read.clear()
            self._read[key] = array
        return self._read[key]


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    shown = array.view()
    shown.flags.writeable = False
    return shown
