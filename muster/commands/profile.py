"""`muster profile`: which hardware a workspace compiles for, and how far its proofs reach on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.workspace import open_workspace
from components.workspace.errors import GateFailed
from muster.console import Json, emit_json, emit_table

if TYPE_CHECKING:
    from components.workspace.profiles import Profile

app = typer.Typer(no_args_is_help=True, help="Hardware profiles: what a kind of device can run.")

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]


@app.command("list")
def list_profiles(workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """The profiles of a workspace with their budgets."""
    profiles = open_workspace(workspace).profiles
    if json:
        emit_json("profiles", [p.model_dump(mode="json") for p in profiles])
        return
    columns = ("profile", "processor", "runtime", "flash KiB", "RAM KiB", "budget of a window", "proof machine")
    emit_table("Hardware profiles", columns, [_row(p) for p in profiles])


@app.command()
def show(name: str, workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """Everything one profile says, defaults included."""
    value = open_workspace(workspace).profile(name).model_dump(mode="json")
    if json:
        emit_json("profile", value)
        return
    emit_table(name, ("key", "value"), list(_flat(value)))


@app.command()
def check(workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """Whether each profile is valid and can be proven here to a level that the release policy accepts."""
    from components.quantization.levels import reach

    opened = open_workspace(workspace)
    accepted = opened.settings.release.proof_levels
    rows = [(p.name, got.level, got.level in accepted, got.missing) for p in opened.profiles for got in [reach(p)]]
    if json:
        keys = ("profile", "level", "accepted", "missing")
        emit_json("profile-check", [dict(zip(keys, row, strict=True)) for row in rows])
    else:
        columns = ("profile", "level", "may be released", "missing for more")
        emit_table("Proof on this machine", columns, [(n, level, "yes" if ok else "no", m) for n, level, ok, m in rows])
    if short := [name for name, _, ok, _ in rows if not ok]:
        raise GateFailed(
            f"{', '.join(short)}: the proof this machine can give is none of release.proof_levels",
            hint="install what is missing, or accept the level in muster.yaml",
        )


def _row(profile: Profile) -> tuple[object, ...]:
    budget, memory = profile.budget, profile.memory
    limits = [f"{budget.latency_ms:g} ms"] if budget.latency_ms else []
    limits += [f"{budget.max_instructions:,} instructions"] if budget.max_instructions else []
    runtime = f"{profile.runtime.name} >= {profile.runtime.minimal}"
    sizes = f"{memory.model_flash_kib:g}", f"{memory.model_ram_kib:g}"
    return (
        profile.name,
        f"{profile.arch.family} {profile.arch.cpu}",
        runtime,
        *sizes,
        ", ".join(limits) or "-",
        profile.proof.machine,
    )


def _flat(value: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, item in value.items():
        rows += _flat(item, f"{prefix}{key}.") if isinstance(item, dict) else [(f"{prefix}{key}", _shown(item))]
    return rows


def _shown(item: object) -> object:
    return ", ".join(map(str, item)) if isinstance(item, list) else "-" if item is None else item
