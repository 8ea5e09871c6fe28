"""`muster model seeds`: how much of a figure is luck of the seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from muster.console import Json, Quiet, check_folder, emit_json, emit_line, emit_table, say


def seeds(
    workspace: Annotated[Path, typer.Argument(help="folder with muster.yaml")] = Path(),
    count: Annotated[int, typer.Option("--seeds", min=1, max=16, help="trainings, from the workspace's seed on")] = 3,
    out: Annotated[Path | None, typer.Option("--out", help="folder for seeds.html and seeds.json")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train the workspace's model for several seeds: every metric with its interval over held-out devices and seeds."""
    from components.workspace import open_workspace
    from flows import seeds as flow
    from muster.progress import shown

    check_folder(out)
    opened = open_workspace(workspace)
    with shown(quiet):
        found = flow.seeds(opened, count)
    from components.training.study import seeds_page as page
    from components.workspace.files import write_json, write_text

    if out:
        write_json(out / "seeds.json", found.to_json())
        write_text(out / "seeds.html", page.seeds_page(found))
        say(f"written: {out / 'seeds.html'}")
    if json:
        emit_json("seeds", found.to_json())
        return
    for columns, rows in page.method_tables(found):
        emit_table(page.title(found), columns, rows)
        emit_line()
    if leads := page.lead_rows(found):
        emit_table(page.LEAD_TITLE, page.LEAD_COLUMNS, leads)
        emit_line()
    emit_line(page.note(found))
    for note in found.notes:
        say(f"note: {note}")
