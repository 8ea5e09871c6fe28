"""`muster init`: a workspace of a template, or of telemetry that is already there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from components.workspace.errors import InputError
from muster.console import Json, emit_json, emit_line


def add_to(app: typer.Typer) -> None:
    app.command("init")(init)


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="the workspace to make")],
    template: Annotated[str | None, typer.Option("--template", "-t", help="pumps, asd, cmapss or hydraulic")] = None,
    source: Annotated[Path | None, typer.Option("--from", metavar="PATH", help="folder of Parquet or CSV files")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="folder of the template's published data set")] = None,
    scale: Annotated[int, typer.Option("--scale", min=1, help="how many times the pumps of the template")] = 1,
    json: Json = False,
) -> None:
    """Make a workspace of a template, or of telemetry that is already there."""
    from components.ingestion.guess import init_from_files
    from components.ingestion.scaffold import init_from_template, templates

    if template is not None and source is None:
        done = init_from_template(template, directory, data, scale)
    elif source is None or template is not None:
        raise InputError("give either --template or --from", hint=f"templates: {', '.join(templates())}")
    elif data is not None or scale != 1:
        raise InputError("--data and --scale belong to --template", hint="leave them out")
    else:
        done = init_from_files(source, directory)
    if json:
        emit_json("init", {"workspace": str(directory), "created": done})
    elif done:
        emit_line(f"workspace {directory} is ready; next: muster run {directory}")
    else:
        emit_line(f"workspace {directory} was made before and is left as it is; next: muster run {directory}")
