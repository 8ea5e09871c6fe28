"""`muster artefact`: look into the single file that a device fetches, or into a package of it; pack it, check it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.workspace import open_workspace
from muster.commands import image, imported, package
from muster.console import Json, emit_json, emit_line, emit_table, say

if TYPE_CHECKING:
    from components.quantization.imported.loading import AnyBuilt
    from components.quantization.reporting.facts import Compiled
    from components.values import Artefact
    from components.workspace import Workspace

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]

app = typer.Typer(no_args_is_help=True, help="Artefacts: one model compiled for one hardware profile.")
package.add_to(app)
image.add_to(app)
imported.add_to(app)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="an .artefact file, a package, or what muster artefact build wrote")],
    json: Json = False,
) -> None:
    """Runtime, size, tasks, tensors and self-test of an artefact file; profile, proof and files of a package."""
    from components.quantization.package.check import is_package
    from components.values import Artefact

    if package.is_built(file):
        _show_built(package.built(file), json=json)
        return
    data = package.read_file(file, "muster step quantize writes artefacts below out/quantize")
    if is_package(data):
        package.show_package(data, file.name, json=json)
        return
    described = _describe(Artefact.from_bytes(data))
    if json:
        emit_json("artefact", described)
        return
    members, tensors = described.pop("members"), described.pop("tensors")
    rows = [(key, package.shown(value)) for key, value in described.items()]
    rows += [(f"member {name}", f"{size:,} bytes") for name, size in members.items()]
    rows += [(f"tensor {name}", f"(q - {q['zero']}) * {q['scale']:.6g}") for name, q in tensors.items()]
    emit_table(file.name, ("key", "value"), rows)


@app.command()
def recipes(
    workspace: WorkspacePath = Path(),
    profile: Annotated[str | None, typer.Option(help="only those of this hardware profile")] = None,
    json: Json = False,
) -> None:
    """The recipes that were tried for each hardware profile, what they reach, and why all but one lost."""
    from components.quantization.reporting.page import RECIPE_COLUMNS, recipe_row
    from flows.artefacts import compiled

    opened = open_workspace(workspace)
    found = compiled(opened, profile)
    _warn_of_stale(opened, found)
    if json:
        emit_json("recipes", [{"profile": c.profile, "chosen": c.chosen, "tried": [asdict(t) for t in c.tried]} for c in found])
        return
    for one in found:
        if one.tried:
            emit_table(f"Recipes for {one.profile}", RECIPE_COLUMNS, [_yes_or_no(recipe_row(tried)) for tried in one.tried])
        else:
            say(f"{one.profile}: trees are integers from the start, there is nothing to choose")


@app.command()
def report(workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """Write the page about a workspace's artefacts: size against fidelity of every recipe, and all proofs."""
    from flows.artefacts import compiled, write_page

    opened = open_workspace(workspace)
    file = write_page(opened)
    _warn_of_stale(opened, compiled(opened))
    if json:
        emit_json("artefact-report", {"file": str(file)})
    else:
        emit_line(str(file))


def _yes_or_no(row: tuple[object, ...]) -> list[object]:
    return [("yes" if cell else "no") if isinstance(cell, bool) else cell for cell in row]


def _warn_of_stale(workspace: Workspace, found: list[Compiled]) -> None:
    from flows.steps import is_current

    if stale := [one.profile for one in found if not is_current(workspace, "quantize", one.profile)]:
        say(f"note: {', '.join(stale)}: made of other data, settings or code than there are now (muster step quantize)")


def _show_built(made: AnyBuilt, *, json: bool) -> None:
    about = made.to_json() | {"sha256": made.sha256}
    if json:
        emit_json("compiled-model", about)
        return
    files = about.pop("files")
    rows = [(key, package.shown(value)) for key, value in about.items() if value not in (None, [], "")]
    rows += [(f"file {name}", f"{told['bytes']:,} bytes") for name, told in files.items()]
    emit_table(f"{made.name} for {made.profile}", ("key", "value"), rows)


def _describe(artefact: Artefact) -> dict[str, Any]:
    test = artefact.self_test
    return {
        "name": artefact.name,
        "profile": artefact.profile,
        "runtime": f"{artefact.runtime} >= {artefact.runtime_minimal}",
        "recipe": artefact.recipe or "integers from the start",
        "sha256": artefact.sha256,
        "bytes": artefact.size,
        "model": artefact.model_digest,
        "steps": artefact.steps,
        "stride": artefact.stride or artefact.steps,
        "channels": list(artefact.channels),
        "tasks": {task: list(classes) for task, classes in artefact.tasks.items()},
        "units": artefact.units,
        "calibration_steps": artefact.calibration.steps,
        "threshold_bits": artefact.scoring.threshold / 256,
        "alarm": {"raise_after": artefact.scoring.raise_after, "clear_after": artefact.scoring.clear_after},
        "self_test": {"vectors": len(test.raw), "tolerance_bits": test.tolerance / 256},
        "members": {name: len(data) for name, data in sorted(artefact.members.items())},
        "tensors": {name: {"scale": q.scale, "zero": q.zero} for name, q in sorted(artefact.tensors.items())},
    }
