"""Views on made-up windows, small enough to say by hand what holds on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.features.columns import FrameColumns
from components.labeling.functions.apply import PART, apply_functions
from components.labeling.functions.declaring import LabelingFunction
from components.labeling.functions.outside import Outside
from components.labeling.functions.view import Sees, WindowView

START = pd.Timestamp("2026-03-01T00:00:00Z")
MINUTE = pd.Timedelta(minutes=1)


def view(
    devices: Sequence[tuple[str, Sequence[int]]],
    columns: Mapping[str, Any] | None = None,
    *,
    steps: int = 10,
    stride: int = 10,
    samples: Any = None,
    channels: tuple[str, ...] = ("pressure",),
    records: Mapping[str, Path] | None = None,
    models: Mapping[str, Path] | None = None,
    site: Sequence[str] | None = None,
) -> WindowView:
    """Windows of ``steps`` one-minute samples at the given multiples of ``stride`` minutes, for each (device, numbers)."""
    rows = [(device, n) for device, numbers in devices for n in numbers]
    start = [START + n * stride * MINUTE for _, n in rows]
    index = pd.DataFrame(
        {
            "device_id": pd.Series([d for d, _ in rows], dtype="str"),
            "start": pd.to_datetime(start, utc=True),
            "end": pd.to_datetime([s + steps * MINUTE for s in start], utc=True),
            "site": site if site is not None else "here",
            "hardware_profile": "p",
            "firmware_version": "1",
        }
    )
    frame = pd.DataFrame({name: np.asarray(column, np.float32) for name, column in (columns or {}).items()}, index=index.index)
    if samples is None:
        samples = np.zeros((len(rows), steps, len(channels)), np.float32)
    outside = Outside(dict(records or {}), dict(models or {}))
    return WindowView(channels, index, FrameColumns(frame), samples, 60.0, 60.0 * stride, 3600.0, outside)


def function(body: Any, sees: Sees = "fleet", name: str = "f", votes: str | None = "bad") -> LabelingFunction:
    code = body.__code__
    return LabelingFunction(name, "state", votes, (), sees, "", body, Path(code.co_filename), code.co_firstlineno)


def votes(body: Any, w: WindowView, sees: Sees = "fleet", part: int = PART) -> list[bool]:
    """Where one function fires."""
    every = function(lambda w: np.ones(len(w), bool), name="every")
    return (apply_functions([function(body, sees), every], ("good", "bad"), w, part=part).votes[:, 0] == 1).tolist()
