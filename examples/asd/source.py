"""The published files -> one object a server and period on one axis of time, the truth apart, an invented inventory."""

from pathlib import Path

import pandas as pd

from components.ingestion.datasets import dataset_file, dataset_folder
from components.ingestion.inventory import inventory_csv, synthetic_inventory
from components.workspace.errors import InputError
from components.workspace.files import new_folder, write_text

PUBLISHED = "the repository zhhlee/InterFusion"
PROFILES = ("gateway-x86-64", "gateway-arm64", "phone-litert", "mcu-cortex-m4")
EPOCH = pd.Timestamp("2020-01-01T00:00:00Z")
INTERVAL = pd.Timedelta(minutes=5)
HISTORY = 8640  # samples: 30 days
METRICS = [f"m{i:02d}" for i in range(19)]


def write(workspace_root: Path, data: Path | None, seed: int, scale: int = 1) -> None:
    """Write raw/, truth/segments.csv and inventory.csv below ``workspace_root`` from the published files in ``data``."""
    if scale != 1:
        raise InputError("real data cannot be scaled", hint="leave --scale out, or take the template pumps")
    folder = dataset_folder(data, "asd", PUBLISHED)
    train, test = (pd.read_parquet(dataset_file(folder, f"{part}.parquet", PUBLISHED)) for part in ("train", "test"))
    with new_folder(workspace_root / "raw") as raw:
        for name, part in (("history", train), ("after", test.assign(t=test["t"] + HISTORY))):
            for device, rows in part.groupby("device", sort=True):
                target = raw / f"device={device}" / f"{name}.parquet"
                target.parent.mkdir(exist_ok=True)
                rows[["device", "t", *METRICS]].to_parquet(target, index=False)
    segments = pd.read_csv(dataset_file(folder, "segments.csv", PUBLISHED))
    write_text(workspace_root / "truth" / "segments.csv", _truth(segments).to_csv(index=False))
    devices = sorted(set(train["device"]))
    write_text(workspace_root / "inventory.csv", inventory_csv(synthetic_inventory(devices, "servers", PROFILES, seed)))


def _truth(segments: pd.DataFrame) -> pd.DataFrame:
    start, end = (EPOCH + (HISTORY + n) * INTERVAL for n in (segments["start"], segments["end"] + 1))
    return pd.DataFrame(
        {
            "device_id": segments["device"],
            "start": start.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "end": end.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "task": "anomaly",
            "value": "anomaly",
            "root_cause": segments["root_cause_metrics_1based"].map(_channels),
        }
    )


def _channels(numbers: str) -> str:
    """The published numbers count metrics from 1."""
    return ";".join(METRICS[int(number) - 1] for number in str(numbers).split(","))
