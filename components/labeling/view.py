"""What a labelling function sees: all windows at once, as arrays with one entry a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.workspace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from components.values import Windows
    from components.workspace import Workspace

Column = NDArray[np.float64]


@dataclass(frozen=True)
class WindowView:
    """Statistics of every window: ``w.mean("flow")`` in physical units, ``w.z_mean("flow")`` in standard deviations of
    the device's own calibration; each an array (windows,), NaN where the channel sent nothing.

    ``index`` has device_id, start, end, site, hardware_profile and firmware_version; which windows are held out is not
    to be seen.
    """

    channels: tuple[str, ...]
    index: pd.DataFrame
    statistics: pd.DataFrame
    windows: Windows
    calibration_s: float

    @classmethod
    def of(cls, workspace: Workspace, windows: Windows, statistics: pd.DataFrame) -> WindowView:
        seconds = 2 * workspace.settings.windows.calibration_steps * workspace.settings.telemetry.interval_s
        return cls(windows.channels, windows.index.drop(columns="split"), statistics, windows, seconds)

    def __len__(self) -> int:
        return len(self.index)

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
        if name not in self.statistics.columns:
            known = sorted({c.removeprefix(self.channels[0]) for c in self.statistics.columns if c.startswith(self.channels[0])})
            raise InputError(f"no statistic '{name}'", hint=f"channels: {', '.join(self.channels)}; endings: {', '.join(known)}")
        return self.statistics[name].to_numpy(np.float64)

    def values(self, channel: str) -> NDArray[np.float32]:
        """(windows, steps) samples in physical units, NaN for missing."""
        if channel not in self.channels:
            raise InputError(f"no channel '{channel}'", hint=f"channels: {', '.join(self.channels)}")
        return np.asarray(self.windows.values[:, :, self.channels.index(channel)])

    def against_calibration(self, column: Column) -> Column:
        """``column`` as a ratio to its median over the device's calibration, so that devices can be compared."""
        import pandas as pd

        device = self.index["device_id"]
        first = self.index.groupby("device_id", sort=False)["start"].transform("min")
        early = (self.index["end"] - first).dt.total_seconds() <= self.calibration_s
        usual = pd.Series(np.where(early, column, np.nan)).groupby(device.to_numpy(), sort=False).transform("median")
        return np.asarray(column / usual.to_numpy())

    def against_site(self, column: Column) -> Column:
        """``column`` less its median over the site's windows of the same start: what all devices see is no device's fault."""
        import pandas as pd

        keys = [self.index["site"].to_numpy(), self.index["start"].to_numpy()]
        common = pd.Series(column).groupby(keys, sort=False).transform("median")
        return np.asarray(column - common.to_numpy())
