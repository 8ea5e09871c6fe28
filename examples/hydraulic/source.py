"""The published files -> one object a day of cycles, declared labels, groups for the split, an invented inventory."""

from pathlib import Path

import numpy as np
import pandas as pd

from components.ingestion.datasets import dataset_file, dataset_folder
from components.ingestion.inventory import inventory_csv, synthetic_inventory
from components.workspace.errors import InputError
from components.workspace.files import new_folder, write_text

PUBLISHED = "the UCI Machine Learning Repository, data set 447"
PROFILES = ("gateway-x86-64", "gateway-arm64", "phone-litert", "mcu-cortex-m4")
RIG, RIGS = "rig-1", 8
EPOCH = pd.Timestamp("2020-01-01T00:00:00Z")
SECONDS = 60
SLOW = ("TS1", "TS2", "TS3", "TS4", "VS1", "SE", "CE", "CP")
FLOWS = ("FS1", "FS2")
CYCLES_A_DAY = 1440
STATES = {
    "cooler": {100: "efficient", 20: "reduced", 3: "failing"},
    "valve": {100: "optimal", 90: "small_lag", 80: "severe_lag", 73: "failing"},
    "pump": {0: "tight", 1: "weak_leak", 2: "severe_leak"},
    "accumulator": {130: "optimal", 115: "reduced", 100: "severely_reduced", 90: "failing"},
}
LABEL_COLUMNS = ("cooler_pct", "valve_pct", "pump_leak", "accumulator_bar")


def write(workspace_root: Path, data: Path | None, seed: int, scale: int = 1) -> None:
    """Write raw/, gold.csv, groups.csv, truth/segments.csv and inventory.csv below ``workspace_root``."""
    if scale != 1:
        raise InputError("real data cannot be scaled", hint="leave --scale out, or take the template pumps")
    folder = dataset_folder(data, "hydraulic", PUBLISHED)
    samples, states = _published(folder) if (folder / "TS1.txt").is_file() else _tables(folder)
    seconds = samples.pop("cycle") * SECONDS + samples.pop("sec")
    samples.insert(0, "device_id", RIG)
    samples.insert(1, "time", EPOCH + pd.to_timedelta(seconds, unit="s"))
    with new_folder(workspace_root / "raw") as raw:
        for day, rows in samples.groupby(seconds // (CYCLES_A_DAY * SECONDS)):
            rows.to_parquet(raw / f"day-{day:03d}.parquet", index=False)
    spans = _spans(len(states))
    named = [spans.assign(task=task, value=states[task].map(names)) for task, names in STATES.items()]
    labels = pd.concat(named).to_csv(index=False)
    write_text(workspace_root / "gold.csv", labels)
    write_text(workspace_root / "truth" / "segments.csv", labels)
    combined = states.astype(str).agg("-".join, axis=1)
    write_text(workspace_root / "groups.csv", spans.assign(group=combined).to_csv(index=False))
    rigs = [f"rig-{i + 1}" for i in range(RIGS)]
    write_text(workspace_root / "inventory.csv", inventory_csv(synthetic_inventory(rigs, "rigs", PROFILES, seed)))


def _published(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Samples (cycle, sec, channels) and states (a row a cycle, a column a task) from UCI's text files."""
    columns = {name: _matrix(folder, name, SECONDS).ravel() for name in SLOW}
    for name in FLOWS:
        tenths = _matrix(folder, name, SECONDS * 10)
        parts = tenths.reshape(len(tenths), SECONDS, 10)
        columns[f"{name}_mean"], columns[f"{name}_std"] = parts.mean(axis=2).ravel(), parts.std(axis=2).ravel()
    cycles = len(columns["TS1"]) // SECONDS
    samples = pd.DataFrame({"cycle": np.repeat(np.arange(cycles), SECONDS), "sec": np.tile(np.arange(SECONDS), cycles)})
    profile = np.loadtxt(dataset_file(folder, "profile.txt", PUBLISHED), dtype=int, ndmin=2)
    states = pd.DataFrame(profile[:, : len(STATES)], columns=list(STATES))
    return samples.assign(**{n: v.astype(np.float32) for n, v in columns.items()}), states


def _tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same from cycles.parquet and labels.csv."""
    samples = pd.read_parquet(dataset_file(folder, "cycles.parquet", PUBLISHED))
    samples = samples.astype({"cycle": "int64", "sec": "int64"})
    labels = pd.read_csv(dataset_file(folder, "labels.csv", PUBLISHED)).sort_values("cycle")
    return samples, labels[list(LABEL_COLUMNS)].set_axis(list(STATES), axis=1).reset_index(drop=True)


def _matrix(folder: Path, name: str, width: int) -> np.ndarray:
    file = dataset_file(folder, f"{name}.txt", PUBLISHED)
    matrix = np.loadtxt(file, ndmin=2)
    if matrix.shape[1] != width:
        raise InputError(f"{file}: {matrix.shape[1]} values a cycle, wanted {width}", hint=f"take the file from {PUBLISHED}")
    return matrix


def _spans(cycles: int) -> pd.DataFrame:
    """device_id, start and end of each cycle."""
    start = EPOCH + pd.to_timedelta(np.arange(cycles + 1) * SECONDS, unit="s")
    text = start.strftime("%Y-%m-%dT%H:%M:%SZ")
    return pd.DataFrame({"device_id": RIG, "start": text[:-1], "end": text[1:]})
