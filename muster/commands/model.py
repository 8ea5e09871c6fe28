"""`muster model`: the versions of the workspace's model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from components.workspace import open_workspace
from muster.console import Json, emit_json, emit_table

app = typer.Typer(no_args_is_help=True, help="Models: registered versions with their artefacts, proofs and metrics.")

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]


@app.command("list")
def list_models(
    workspace: WorkspacePath = Path(),
    limit: Annotated[int, typer.Option(min=1, help="versions to show, newest first")] = 20,
    json: Json = False,
) -> None:
    """The registered versions, newest first."""
    from registry.models import describe, list_versions

    opened = open_workspace(workspace)
    found = [describe(opened, v) for v in list_versions(opened, limit=limit)]
    if json:
        emit_json("models", [asdict(d) for d in found])
        return
    rows = [(d.model.version, d.created, ", ".join(d.aliases), len(d.artefacts), d.model.run_id) for d in found]
    emit_table(f"Model {opened.settings.name}", ("version", "created", "aliases", "artefacts", "run"), rows)


@app.command()
def show(
    version: Annotated[str, typer.Argument(help="version number or alias")] = "candidate",
    workspace: WorkspacePath = Path(),
    json: Json = False,
) -> None:
    """Lineage, artefacts and metrics of one version."""
    from registry.models import describe, find_version

    opened = open_workspace(workspace)
    found = describe(opened, find_version(opened, version))
    if json:
        emit_json("model", asdict(found))
        return
    rows: list[tuple[str, object]] = [("created", found.created), ("aliases", ", ".join(found.aliases))]
    rows += [("run", found.model.run_id), *found.lineage.items(), ("artefacts", ", ".join(found.artefacts))]
    rows += [(name, f"{value:g}") for name, value in found.metrics.items()]
    emit_table(f"Model {found.model.name}, version {found.model.version}", ("key", "value"), rows)
