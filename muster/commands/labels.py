"""`muster labels`: how the labelling functions of a workspace do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from components.workspace import open_workspace
from muster.console import Json, emit_json, emit_line, emit_table, say

app = typer.Typer(no_args_is_help=True, help="Labels: coverage, conflicts and agreement of labelling functions.")


@app.command()
def report(workspace: Annotated[Path, typer.Argument(help="folder with muster.yaml")] = Path(), json: Json = False) -> None:
    """Coverage, overlap and conflict of each task, and what each labelling function does."""
    from components.labeling.report import FUNCTION_COLUMNS, function_rows, read_report

    folder = open_workspace(workspace).out / "label"
    value = read_report(folder)
    if json:
        emit_json("labels-report", value)
        return
    for task in value["tasks"]:
        emit_line(f"{task['task']} ({task['source']}): coverage {task['coverage']:.1%}, "
                  f"overlap {task['overlap']:.1%}, conflict {task['conflict']:.1%}")  # fmt: skip
        emit_table(
            "Mean probability", ("class", "share"), [(name, f"{share:.1%}") for name, share in task["class_shares"].items()]
        )
        rows = [[c if isinstance(c, str) else f"{c:.2%}" for c in row] for row in function_rows(task)]
        if rows:
            emit_table("Labelling functions", FUNCTION_COLUMNS, rows)
        for warning in task["warnings"]:
            say(f"look at this: {warning}")
    if not value["tasks"]:
        emit_line("no task of this workspace wants labels")
