"""A workspace small enough for tests: six devices, two channels, a few hours of one-minute samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from components.ingestion.scaffold import copy_profiles
from components.workspace import Workspace, open_workspace

START = pd.Timestamp("2026-03-01T00:00:00Z")
UNITS = {"pressure": "bar", "flow": "m3/h"}
PROFILES = ["gateway-x86-64", "gateway-arm64"]


def settings(**changes: Any) -> dict[str, Any]:
    """The content of `muster.yaml`; ``changes`` replace whole sections."""
    base: dict[str, Any] = {
        "name": "small",
        "storage": {"source": "raw"},
        "telemetry": {
            "device": "device_id",
            "time": {"column": "time"},
            "interval_s": 60.0,
            "channels": [
                {"name": "pressure", "unit": "bar", "range": [0.0, 10.0]},
                {"name": "flow", "unit": "m3/h", "range": [0.0, 100.0]},
            ],
            "context": {"hardware_profile": "hardware_profile", "firmware_version": "firmware_version", "site": "site"},
        },
        "windows": {"steps": 8, "stride": 4, "calibration_steps": 20},
        "tasks": [{"name": "state", "kind": "classes", "classes": ["normal", "high", "low"], "labels": "weak"}],
        "profiles": PROFILES,
        "fleets": [{"name": "all", "inventory": "inventory.csv", "variants": [{"name": "any", "firmware": ">=0"}]}],
        "release": {"stages": [{"name": "all", "share": 1.0}]},
    }
    return base | changes


def workspace(root: Path, **changes: Any) -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "profiles").is_dir():
        copy_profiles(root)
    (root / "muster.yaml").write_text(yaml.safe_dump(settings(**changes)))
    return open_workspace(root)


def telemetry(devices: int = 6, steps: int = 120, seed: int = 3) -> pd.DataFrame:
    """Rows of ``devices`` devices, sorted by time, with noise around a level of each device's own."""
    rng = np.random.default_rng(seed)
    step, device = (a.ravel() for a in np.meshgrid(np.arange(steps), np.arange(devices), indexing="ij"))
    return pd.DataFrame(
        {
            "device_id": [f"d{n}" for n in device],
            "time": START + pd.to_timedelta(step * 60, unit="s"),
            "pressure": (4 + 0.3 * device + 0.2 * rng.standard_normal(step.size)).astype(np.float32),
            "flow": (40 + 3 * device + 2 * rng.standard_normal(step.size)).astype(np.float32),
            "hardware_profile": [PROFILES[n % 2] for n in device],
            "firmware_version": "1.0.0",
            "site": "here",
        }
    )


def upload(file: Path, frame: pd.DataFrame, units: dict[str, str] | None = None) -> None:
    """Write ``frame`` as a gateway would, units in the metadata of the columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    known = UNITS if units is None else units
    fields = [f.with_metadata({"unit": known[f.name]}) if f.name in known else f for f in table.schema]
    pq.write_table(table.cast(pa.schema(fields)), file)
