"""`muster artefact`: look into the single file that a device fetches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.workspace.errors import NotFound
from muster.commands import imported
from muster.console import Json, emit_json, emit_table

if TYPE_CHECKING:
    from components.values import Artefact

app = typer.Typer(no_args_is_help=True, help="Artefacts: one model compiled for one hardware profile.")
imported.add_to(app)


@app.command()
def show(file: Annotated[Path, typer.Argument(help="an .artefact file")], json: Json = False) -> None:
    """Runtime, size, tasks, tensors and self-test of an artefact file."""
    from components.values import Artefact

    if not file.is_file():
        raise NotFound(f"no file {file}", hint="muster step quantize writes artefacts below out/quantize")
    described = _describe(Artefact.load(file))
    if json:
        emit_json("artefact", described)
        return
    members, tensors = described.pop("members"), described.pop("tensors")
    rows = [(key, _shown(value)) for key, value in described.items()]
    rows += [(f"member {name}", f"{size:,} bytes") for name, size in members.items()]
    rows += [(f"tensor {name}", f"(q - {q['zero']}) * {q['scale']:.6g}") for name, q in tensors.items()]
    emit_table(file.name, ("key", "value"), rows)


def _describe(artefact: Artefact) -> dict[str, Any]:
    test = artefact.self_test
    return {
        "name": artefact.name,
        "profile": artefact.profile,
        "runtime": f"{artefact.runtime} >= {artefact.runtime_minimal}",
        "sha256": artefact.sha256,
        "bytes": artefact.size,
        "model": artefact.model_digest,
        "steps": artefact.steps,
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


def _shown(value: object) -> object:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_shown(item)}".strip() for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else value
