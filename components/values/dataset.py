"""Accepted telemetry as one value."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.workspace.files import write_json

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("device_id", "time", "hardware_profile", "firmware_version", "site")
"""Columns every accepted row has beside its channels; time is UTC, the last three may be empty strings."""


@dataclass(frozen=True)
class Dataset:
    """Rows that keep the contract: `accepted.parquet`, sorted by device and time, without duplicates."""

    folder: Path
    rows: int
    quarantined: int
    duplicates: int
    devices: int
    digest: str

    def frame(self) -> pd.DataFrame:
        """`COLUMNS` and one float column a channel, NaN where the device sent nothing."""
        import pandas as pd

        return pd.read_parquet(self.folder / "accepted.parquet")

    def save_summary(self) -> None:
        write_json(self.folder / "dataset.json", {k: v for k, v in asdict(self).items() if k != "folder"})

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        return cls(folder=folder, **json.loads((folder / "dataset.json").read_text()))
