"""`muster model study`: few labels, several seeds, with pre-training and without."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from muster.console import Json, Quiet, check_folder, emit_json, emit_line, emit_table, say


def study(
    workspace: Annotated[Path, typer.Argument(help="folder with muster.yaml")] = Path(),
    seeds: Annotated[int, typer.Option(min=1, max=16, help="trainings of each kind, from the workspace's seed on")] = 3,
    labels: Annotated[str, typer.Option(help="numbers of labelled windows, separated by commas")] = "20,50,100",
    task: Annotated[str | None, typer.Option(help="one task with classes; without it, all of them")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder for study.html and study.json")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What pre-training is worth with few labels: macro-F1 over seeds, beside none and beside gradient boosting."""
    from components.workspace import open_workspace
    from flows import study as flow
    from muster.progress import shown

    check_folder(out)
    opened, counts = open_workspace(workspace), _counts(labels)
    with shown(quiet):
        found = flow.study(opened, seeds, counts, task)
    from components.training.study import page
    from components.workspace.files import write_json, write_text

    if out:
        write_json(out / "study.json", found.to_json())
        write_text(out / "study.html", page.study_page(found))
        say(f"written: {out / 'study.html'}")
    if json:
        emit_json("study", found.to_json())
        return
    emit_table("Macro-F1 on held-out windows, mean ± standard deviation over seeds", page.COLUMNS, page.rows(found))
    emit_line()
    emit_line(page.note(found))


def _counts(text: str) -> list[int]:
    from components.workspace.errors import InputError

    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) for word in words) or len(words) > 10:
        raise InputError(f"--labels '{text}' is no list of numbers", hint="write up to ten, like --labels 20,50,100")
    return [int(word) for word in words]
