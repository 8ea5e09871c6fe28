"""`muster data`: what validation saw, and what it put in quarantine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from components.workspace import open_workspace
from muster.console import Json, emit_json, emit_line, emit_table, say

app = typer.Typer(no_args_is_help=True, help="Telemetry: what it looks like, and which rows were refused.")

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]


@app.command()
def profile(workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """Rows, devices and the range of each channel of the last validation."""
    from components.validation.report import CHANNEL_COLUMNS
    from components.validation.results import read_profile, results_folder

    folder = results_folder(open_workspace(workspace))
    value = read_profile(folder)
    if json:
        emit_json("data-profile", value)
        return
    counts = ("rows", "accepted", "quarantined", "duplicates")
    emit_table("Rows", counts, [[f"{value[name]:,}" for name in counts]])
    emit_table("Channels (accepted rows)", CHANNEL_COLUMNS, [_channel(n, c) for n, c in value["channels"].items()])
    say(f"the whole report: {folder / 'report.html'}")


@app.command()
def quarantine(
    workspace: WorkspacePath = Path(),
    reason: Annotated[str, typer.Option("--reason", help="only rows whose reason contains this text")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="rows to show")] = 20,
    json: Json = False,
) -> None:
    """Why rows were refused, and where each of them came from."""
    from components.validation.results import read_profile, read_quarantine, results_folder

    folder = results_folder(open_workspace(workspace))
    refused, reasons = read_quarantine(folder, reason), read_profile(folder)["reasons"]
    unreadable = refused["row"].isna()
    rows, objects = refused[~unreadable], refused.loc[unreadable, ["object", "reason"]]
    shown = rows.head(limit).astype("object").where(rows.head(limit).notna(), None)
    if json:
        found = {"matching": len(rows), "rows": shown.to_dict("records"), "unreadable": objects.to_dict("records")}
        emit_json("quarantine", {"reasons": reasons} | found)
        return
    emit_table("Reasons", ("reason", "rows"), [(r, f"{n:,}") for r, n in reasons.items()])
    if not objects.empty:
        emit_table("Objects that could not be read", ("object", "reason"), objects.to_numpy().tolist())
    if rows.empty:
        emit_line(f"no row was refused for a reason that contains '{reason}'" if reason else "no row was refused")
        return
    columns = ("reason", "object", "row", "device_id", "time")
    emit_table(f"{len(shown)} of {len(rows):,} rows", columns, [[_cell(row[c]) for c in columns] for _, row in shown.iterrows()])
    say(f"all of them with their values: {folder / 'quarantine.parquet'}")


def _channel(name: str, values: dict[str, float | None]) -> list[str]:
    return [
        name,
        *("" if v is None else f"{v:.4g}" for v in (values[k] for k in ("missing", "min", "p01", "median", "p99", "max"))),
    ]


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
