"""Whether functions fire more or less often than in the labels made before.

Windows of one device resemble each other, so devices are what is counted. With y of n windows of device d fired before
(1) and now (2), rates p = sum y / sum n, and N = sum n, the difference p2 - p1 has the variance

    G / (G - 1) * sum over devices of ((y2 - p2 n2) / N2 - (y1 - p1 n1) / N1)^2,    G devices,

the ratio estimator's for clustered shares (Rao and Scott, Biometrics 48, 1992, formula for their design effect; Liang
and Zeger, Biometrika 73, 1986), with both runs of one device in one term because they are not independent either. Its t
value is held against Student's t with G - 1 degrees of freedom. The p values of all functions and groups are adjusted
together (Benjamini and Hochberg, JRSS B 57, 1995). A change is reported when it is significant and large enough to matter.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.labeling.report.firing import FIRES, firing_file
from components.workspace.store import StepStore

if TYPE_CHECKING:
    import pandas as pd

    from components.workspace import Workspace

FALSE_DISCOVERIES = 0.05
LEAST_CHANGE = 0.01
"""Of the share of windows; and a change has to be `LEAST_RATIO` of the larger rate."""
LEAST_RATIO = 0.2
LEAST_DEVICES = 5
"""With fewer, the variance between devices is not known."""


@dataclass(frozen=True)
class Change:
    """``group``: 'all', a hardware profile, or a profile and firmware version. ``before`` and ``after``: firing rates.
    ``adjusted``: p value after Benjamini and Hochberg, None with too few devices. ``flagged``: significant and large.
    """

    function: str
    group: str
    devices: int
    before: float
    after: float
    adjusted: float | None
    flagged: bool


def change_since_last(workspace: Workspace, task: str) -> dict[str, Any] | None:
    """The present labels of ``task`` against those made last before them with other votes; None when there are none.

    Earlier label sets are those in the step store, so what is compared depends on what this workspace made and when,
    and is not part of any step's result.
    """
    import pandas as pd

    now = firing_file(workspace.out / "label", task)
    if not now.is_file():
        return None
    present = now.read_bytes()
    for kept in reversed(StepStore(workspace.state / "store").kept("label")):
        file = firing_file(kept.folder, task)
        if file.is_file() and file.read_bytes() != present:
            found = changes(pd.read_parquet(file), pd.read_parquet(now))
            return {"since": _made(kept.folder), "changes": [asdict(c) for c in found]}
    return None


def changes(before: pd.DataFrame, after: pd.DataFrame) -> list[Change]:
    """Two `firing_table`s -> one entry for each group and function that both have."""
    functions = [c for c in after.columns if c.startswith(FIRES) and c in before.columns]
    old, new = _grouped(before, functions), _grouped(after, functions)
    rows: list[tuple[str, str, int, float, float, float]] = []
    for group in (g for g in new if g in old):
        both = old[group].add_prefix("before:").join(new[group], how="outer").fillna(0).to_numpy(np.float64)
        numbers = _differences(both[:, : len(functions) + 1], both[:, len(functions) + 1 :])
        names = (name.removeprefix(FIRES) for name in functions)
        rows += [(name, group, len(both), *three) for name, three in zip(names, numbers.T.tolist(), strict=True)]
    adjusted = adjust(np.asarray([p for *_, p in rows], np.float64))
    return [_change(*row[:5], q) for row, q in zip(rows, adjusted.tolist(), strict=True)]


def adjust(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini and Hochberg's adjusted p values; NaN (not tested) stays and is not counted."""
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")[::-1]]
    scaled = p[order] * len(order) / np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum.accumulate(np.minimum(scaled, 1.0))
    return adjusted


def _differences(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two (devices, 1 + functions) counts, of windows and of votes -> (3, functions): rates before and after, and the p
    value of their difference by the formula above, NaN with too few devices.
    """
    from scipy.special import stdtr

    (n1, y1), (n2, y2) = ((counts[:, :1], counts[:, 1:]) for counts in (before, after))
    p1, p2, devices = y1.sum(axis=0) / n1.sum(), y2.sum(axis=0) / n2.sum(), len(before)
    if devices < LEAST_DEVICES:
        return np.stack([p1, p2, np.full(len(p1), np.nan)])
    terms = (y2 - p2 * n2) / n2.sum() - (y1 - p1 * n1) / n1.sum()
    deviation = np.sqrt(devices / (devices - 1) * (terms * terms).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(p1 == p2, 0.0, np.abs(p2 - p1) / deviation)  # devices that all moved alike: infinitely sure
    return np.stack([p1, p2, 2 * stdtr(devices - 1, -t)])


def _grouped(table: pd.DataFrame, functions: list[str]) -> dict[str, pd.DataFrame]:
    """Group -> counts with one row a device."""
    columns = ["windows", *functions]
    groups = {"all": table}
    for profile, rows in table.groupby("hardware_profile"):
        groups[str(profile) or "?"] = rows
        versions = rows.groupby("firmware_version")
        if versions.ngroups > 1:
            groups |= {f"{str(profile) or '?'} {str(firmware) or '?'}": part for firmware, part in versions}
    return {name: rows.groupby("device_id")[columns].sum() for name, rows in groups.items()}


def _change(function: str, group: str, devices: int, before: float, after: float, adjusted: float) -> Change:
    moved = abs(after - before)
    large = moved >= LEAST_CHANGE and moved >= LEAST_RATIO * max(before, after)
    known = None if np.isnan(adjusted) else adjusted
    return Change(function, group, devices, before, after, known, known is not None and known <= FALSE_DISCOVERIES and large)


def _made(folder: Path) -> str:
    return datetime.fromtimestamp(folder.stat().st_mtime, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
