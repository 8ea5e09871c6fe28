"""The published engines -> one object a subset and part, remaining life of the training engines, the truth apart."""

from pathlib import Path

import pandas as pd

from components.ingestion.datasets import dataset_file, dataset_folder
from components.ingestion.inventory import inventory_csv, synthetic_inventory
from components.workspace.errors import InputError
from components.workspace.files import new_folder, write_text

PUBLISHED = "the data repository of NASA's Prognostics Center of Excellence, data set 6 (C-MAPSS)"
PROFILES = ("gateway-x86-64", "gateway-arm64", "phone-litert", "mcu-cortex-m4")
SUBSETS = ("FD001", "FD002", "FD003", "FD004")
TRAINING, TEST = pd.Timestamp("2020-01-01T00:00:00Z"), pd.Timestamp("2021-01-01T00:00:00Z")
CYCLE = pd.Timedelta(hours=1)
COLUMNS = ["op1", "op2", "op3", *(f"s{i:02d}" for i in range(1, 22))]
STILL = {"s01", "s05", "s10", "s16", "s18", "s19"}  # the same under each condition, whatever happens to the engine
CHANNELS = ["age", *(name for name in COLUMNS if name not in STILL)]


def write(workspace_root: Path, data: Path | None, seed: int, scale: int = 1) -> None:
    """Write raw/, life.csv, truth/segments.csv and inventory.csv below ``workspace_root`` from the published files."""
    if scale != 1:
        raise InputError("real data cannot be scaled", hint="leave --scale out, or take the template pumps")
    folder = dataset_folder(data, "cmapss", PUBLISHED)
    train, test, left = _tables(folder) if (folder / "train.parquet").is_file() else _published(folder)
    ends = test.groupby(["subset", "unit"])["cycle"].transform("max")
    after = test.merge(left, on=["subset", "unit"], how="left")["rul"].to_numpy()
    parts = {"train": _timed(train, "train", TRAINING), "test": _timed(test, "test", TEST)}
    parts["train"]["life"] = train.groupby(["subset", "unit"])["cycle"].transform("max") - train["cycle"]
    parts["test"]["life"] = ends - test["cycle"] + after
    with new_folder(workspace_root / "raw") as raw:
        for part, rows in parts.items():
            for subset, mine in rows.groupby("subset"):
                mine[["device_id", "time", "subset", *CHANNELS]].to_parquet(raw / f"{subset}-{part}.parquet", index=False)
    write_text(workspace_root / "life.csv", _segments(parts["train"]).to_csv(index=False))
    write_text(workspace_root / "truth" / "segments.csv", _segments(parts["test"]).assign(task="life").to_csv(index=False))
    engines = sorted({*parts["train"]["device_id"], *parts["test"]["device_id"]})
    write_text(workspace_root / "inventory.csv", inventory_csv(synthetic_inventory(engines, "engines", PROFILES, seed)))


def _tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Training rows, test rows, and what is left of each test engine's life after its last row."""
    train, test = (pd.read_parquet(dataset_file(folder, f"{part}.parquet", PUBLISHED)) for part in ("train", "test"))
    left = pd.read_csv(dataset_file(folder, "test_rul.csv", PUBLISHED))
    return train, test, left


def _published(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The same from the text files train_FD001.txt, test_FD001.txt, RUL_FD001.txt and so on."""
    columns = ["unit", "cycle", *COLUMNS]

    def part(name: str) -> pd.DataFrame:
        files = {s: dataset_file(folder, f"{name}_{s}.txt", PUBLISHED) for s in SUBSETS}
        return pd.concat(
            [pd.read_csv(f, sep=r"\s+", names=columns).assign(subset=s) for s, f in files.items()], ignore_index=True
        )

    lives = {s: pd.read_csv(dataset_file(folder, f"RUL_{s}.txt", PUBLISHED), names=["rul"]) for s in SUBSETS}
    left = pd.concat([life.assign(subset=s, unit=range(1, len(life) + 1)) for s, life in lives.items()], ignore_index=True)
    return part("train"), part("test"), left


def _timed(rows: pd.DataFrame, part: str, start: pd.Timestamp) -> pd.DataFrame:
    """Every engine under a name of its own, its cycles an hour apart from ``start`` on."""
    names = rows["subset"].astype(str).str.lower() + f"-{part}-" + rows["unit"].astype(str).str.zfill(3)
    return rows.assign(
        device_id=names,
        subset=rows["subset"].astype(str),
        time=start + (rows["cycle"].astype("int64") - 1) * CYCLE,
        age=rows["cycle"].astype("float32"),
    )


def _segments(rows: pd.DataFrame) -> pd.DataFrame:
    """device_id, start, end and value: one a cycle."""
    text = {
        name: times.dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name, times in (("start", rows["time"]), ("end", rows["time"] + CYCLE))
    }
    return pd.DataFrame({"device_id": rows["device_id"], **text, "value": rows["life"].astype("int64")})
