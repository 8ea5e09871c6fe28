"""The lake -> accepted rows, quarantine and a report, or a gate that says no."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.validation.report import profile_of, write_report
from components.validation.results import failed_folder
from components.validation.rows import bad_rows, believed_span, read_lake
from components.validation.suite import run_suite
from components.values.dataset import COLUMNS, Dataset
from components.workspace.errors import GateFailed, InputError
from components.workspace.files import new_folder, sha256_file

if TYPE_CHECKING:
    import pandas as pd

    from components.workspace import Workspace


def validate(workspace: Workspace, lake: Path, folder: Path) -> Dataset:
    """Write accepted.parquet, quarantine.parquet, report.html, profile.json, suite.json and dataset.json to ``folder``.

    ``lake`` is the `lake` folder beside `ingest.json`. Exact duplicates (same device and time) are dropped, the first
    is kept; rows may come in any order.

    Raises:
        InputError: there are no rows at all.
        GateFailed: more rows are bad than validation.max_quarantined allows, or a channel holds nothing at all;
            report and quarantine then stand in the workspace's state.
    """
    settings = workspace.settings
    skipped = json.loads((lake.parent / "ingest.json").read_text())["skipped"]
    frame, names = read_lake(lake), tuple(channel.name for channel in settings.telemetry.measured)
    if missing := [name for name in names if name not in frame.columns]:
        raise InputError(
            f"the lake in {lake} has no channel {', '.join(missing)}: it was read under another contract",
            hint="muster step ingest",
        )
    span = believed_span(frame["time"], settings.validation.max_quarantined)
    verdict, reasons = bad_rows(workspace, frame, span)
    accepted, duplicates = _accepted(frame, verdict, names)
    profile = profile_of(frame, verdict, reasons, names, duplicates, skipped)
    expected, suite = run_suite(workspace, frame, span)
    quarantine = _quarantine(frame, verdict, reasons, skipped)

    def write(target: Path) -> None:
        _write_parquet(quarantine, target / "quarantine.parquet")
        write_report(target, settings.name, profile, expected, suite)

    refused = failed_folder(workspace)
    if problem := _problem(workspace, profile):
        with new_folder(refused) as report:
            write(report)
        raise GateFailed(problem, hint=f"read {refused / 'report.html'}; mend the source or the contract")
    write(folder)
    _write_parquet(accepted, folder / "accepted.parquet")
    dataset = Dataset(
        folder=folder,
        rows=len(accepted),
        quarantined=int(profile["quarantined"]),
        duplicates=duplicates,
        devices=int(accepted["device_id"].nunique()),
        digest=sha256_file(folder / "accepted.parquet"),
    )
    dataset.save_summary()
    shutil.rmtree(refused, ignore_errors=True)
    return dataset


def _accepted(frame: pd.DataFrame, verdict: NDArray[np.int16], channels: tuple[str, ...]) -> tuple[pd.DataFrame, int]:
    """Good rows by device and time, and how many exact duplicates were dropped."""
    good = frame[verdict < 0]
    times = good["time"].dt.as_unit("us").astype("int64").to_numpy()
    numbers = _by_name(good["device_id"])
    order = np.lexsort((good["row"].to_numpy(), _by_name(good["object"]), times, numbers))
    numbers, times = numbers[order], times[order]
    again = np.zeros(len(order), bool)
    again[1:] = (numbers[1:] == numbers[:-1]) & (times[1:] == times[:-1])
    rows = good.iloc[order[~again]][[*COLUMNS, *channels]].reset_index(drop=True)
    texts = [c for c in COLUMNS if c != "time"]
    return rows.astype(dict.fromkeys(texts, "str")), int(again.sum())


def _by_name(column: pd.Series[Any]) -> NDArray[Any]:
    """(rows,) numbers that sort as the texts do."""
    return np.argsort(np.argsort(np.asarray(column.cat.categories, object)))[column.cat.codes.to_numpy()]


def _quarantine(
    frame: pd.DataFrame, verdict: NDArray[np.int16], reasons: list[str], skipped: list[dict[str, str]]
) -> pd.DataFrame:
    """Bad rows as they came, with the reason first; an unreadable object is one row without values."""
    import pandas as pd

    bad = frame[verdict >= 0]
    order = np.lexsort((bad["row"].to_numpy(), _by_name(bad["object"])))
    texts = {c: "object" for c in frame.columns if isinstance(frame[c].dtype, pd.CategoricalDtype)}
    rows = bad.astype(texts).iloc[order]
    rows.insert(0, "reason", np.asarray(reasons, object)[verdict[verdict >= 0][order]])
    rows["row"] = rows["row"].astype("Int64")
    objects = pd.DataFrame({"reason": [s["reason"] for s in skipped], "object": [s["key"] for s in skipped]})
    first = ["reason", "object", "row"]
    return pd.concat([rows, objects], ignore_index=True)[[*first, *(c for c in rows.columns if c not in first)]]


def _problem(workspace: Workspace, profile: dict[str, Any]) -> str:
    """Why the gate stays closed, or nothing."""
    allowed = workspace.settings.validation.max_quarantined
    share = profile["quarantined"] / profile["rows"]
    if share > allowed or not profile["accepted"]:
        reason, rows = next(iter(profile["reasons"].items()))
        return (
            f"{share:.1%} of {profile['rows']:,} rows break the contract, {allowed:.1%} are allowed; "
            f"mostly: {reason} ({rows:,} rows)"
        )
    if silent := [name for name, values in profile["channels"].items() if values["median"] is None]:
        return f"no accepted row has a value of {', '.join(silent)}"
    return ""


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, compression="zstd")
