"""`muster profile fit`: which hardware a trained model fits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.workspace.errors import GateFailed
from muster.console import Json, Quiet, emit_json, emit_line, emit_table

if TYPE_CHECKING:
    from components.quantization.fit import Fit


def fit(
    model: Annotated[Path, typer.Argument(help="workspace with a trained model, or its out/train")] = Path(),
    profile: Annotated[list[str] | None, typer.Option("--profile", help="one profile; may be given again")] = None,
    library: Annotated[bool, typer.Option("--library", help="profiles of the library that ships with Muster")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Which profiles a trained model fits: operators, flash, RAM and self-test against budgets, without held-out windows."""
    from flows import fitting
    from muster.progress import shown

    workspace = fitting.workspace_of(model)
    wanted = fitting.candidates(workspace, profile or (), from_library=library)
    with shown(quiet):
        found = fitting.fits(workspace, wanted)
    if json:
        from dataclasses import asdict

        emit_json("profile-fit", [asdict(one) | {"fits": one.fits} for one in found])
    else:
        _print(found)
    if not any(one.fits for one in found):
        raise GateFailed(
            f"the model fits none of {', '.join(one.profile for one in found)}",
            hint="make it smaller (model.width, model.blocks, model.shapes), or raise the budgets of a profile",
        )


def _print(found: list[Fit]) -> None:
    columns = ("profile", "fits", "flash KiB", "RAM KiB", "one window", "measured on", "lacking")
    emit_table("What the model fits", columns, [_row(one) for one in found])
    for one in found:
        if one.missing:
            emit_line(f"  {one.profile}: a proof here is '{one.level}'; open: {one.missing}")


def _row(one: Fit) -> tuple[object, ...]:
    value = {c.name: c.value for c in one.checks}
    sizes = [f"{value[name] / 1024:,.1f}" if name in value else "-" for name in ("flash", "ram")]
    costs = [f"{value['instructions']:,.0f} instructions"] if "instructions" in value else []
    costs += [f"{value['latency']:.3g} ms"] if "latency" in value else []
    costs += [f"{value['time_low']:.3g} to {value['time_high']:.3g} ms (estimated)"] if "time_low" in value else []
    where = one.machine.partition("; RAM: ")[0]
    return one.profile, "yes" if one.fits else "no", *sizes, ", ".join(costs) or "-", where or "-", "; ".join(one.lacking) or "-"
