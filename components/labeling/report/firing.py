"""How often each function fires, by device and firmware variant: small enough to keep with every label set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.values.labels import ABSTAIN

if TYPE_CHECKING:
    import pandas as pd

    from components.values import LabelSet, Windows

KEYS = ("device_id", "hardware_profile", "firmware_version")
FIRES = "fires:"
"""Before the name of a function in the table's columns."""

_VARIANTS = 30


def firing_table(labels: LabelSet, windows: Windows) -> pd.DataFrame:
    """One row for each device and variant: `KEYS`, ``windows``, and for each function how many of them it speaks about."""
    groups = windows.index[list(KEYS)].groupby(list(KEYS), sort=True, dropna=False)
    group = groups.ngroup().to_numpy(np.int64)
    table = groups.size().rename("windows").reset_index()
    for j, name in enumerate(labels.functions):
        table[FIRES + name] = np.bincount(group[labels.votes[:, j] != ABSTAIN], minlength=len(table)).astype(np.int64)
    return table


def variants(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Firing rates of the `_VARIANTS` variants with most windows; ``rates`` in the order of the functions."""
    keys = ["hardware_profile", "firmware_version"]
    counted = table.groupby(keys, dropna=False)
    sums = counted.sum(numeric_only=True).assign(devices=counted["device_id"].nunique()).reset_index()
    sums = sums.sort_values(["windows", *keys], ascending=[False, True, True]).head(_VARIANTS)
    fires = [c for c in table.columns if c.startswith(FIRES)]
    rates = (sums[fires].to_numpy(np.float64) / sums[["windows"]].to_numpy()).round(6).tolist()
    facts = zip(sums["hardware_profile"], sums["firmware_version"], sums["windows"], sums["devices"], rates, strict=True)
    return [
        {"hardware_profile": str(h), "firmware_version": str(f), "windows": int(w), "devices": int(d), "rates": r}
        for h, f, w, d, r in facts
    ]


def firing_file(folder: Path, task: str) -> Path:
    """Where the label step keeps the table of a task."""
    return folder / "firing" / f"{task}.parquet"
