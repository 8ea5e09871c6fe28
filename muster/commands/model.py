"""`muster model`: the versions of the workspace's model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.workspace import open_workspace
from muster.console import Json, emit_json, emit_line, emit_table

if TYPE_CHECKING:
    from components.values import Proof

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
    """What a version was measured at, how its artefacts were proven on each profile, and where it came from."""
    from registry import models

    opened = open_workspace(workspace)
    found = models.describe(opened, models.find_version(opened, version))
    proofs = models.read_proofs(opened, found.model)
    if json:
        emit_json("model", asdict(found) | {"proofs": [p.to_json() for p in proofs]})
        return
    title = f"Model {found.model.name}, version {found.model.version}"
    measured = [(*_parts(name), f"{value:.4g}") for name, value in models.trained_metrics(found, proofs).items()]
    emit_table(f"{title}: held-out devices", ("task", "metric", "method", "value"), sorted(measured))
    emit_line()
    columns = ("profile", "proof level", "passed", "task metrics", "one window")
    emit_table("Artefacts", columns, [_proven(p) for p in proofs])
    emit_line()
    rows: list[tuple[str, object]] = [("created", found.created), ("aliases", ", ".join(found.aliases))]
    rows += [("run", found.model.run_id), *found.lineage.items(), ("artefacts", ", ".join(found.artefacts))]
    emit_table("Origin", ("key", "value"), rows)


def _parts(name: str) -> tuple[str, str, str]:
    """Task, metric and method of `<task>/<method>/<metric>`, so that methods stand below each other."""
    task, _, rest = name.partition("/")
    method, _, metric = rest.partition("/")
    return task, metric, method


def _proven(proof: Proof) -> tuple[object, ...]:
    """A profile's row: the metrics that its proof gates, and what a window costs there."""
    gated = [c.name.removesuffix("/drop") for c in proof.checks if c.name.endswith("/drop")]
    values = [f"{name} {check.value:.4g}" for name in gated if (check := proof.check(name))]
    costs = [f"{_number(c.value)} {c.unit}" for name in ("latency", "instructions") if (c := proof.check(name))]
    failed = [c.name for c in proof.checks if not c.passed]
    passed = "yes" if proof.passed else f"no: {', '.join(failed) or proof.missing}"
    return proof.profile, proof.level, passed, ", ".join(values), ", ".join(costs)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
