"""`muster profile`: which hardware a workspace compiles for, and how far its proofs reach on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.workspace import open_workspace
from components.workspace.errors import GateFailed
from muster.commands.fit import fit
from muster.console import Json, emit_json, emit_line, emit_table

if TYPE_CHECKING:
    from components.workspace.profiles import Profile

app = typer.Typer(no_args_is_help=True, help="Hardware profiles: what a kind of device can run.")
app.command()(fit)

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]
Library = Annotated[bool, typer.Option("--library", help="of the library that ships with Muster")]


@app.command("list")
def list_profiles(workspace: WorkspacePath = Path(), library: Library = False, json: Json = False) -> None:
    """The profiles of a workspace, or of the library, with their budgets."""
    profiles = _library() if library else open_workspace(workspace).profiles
    if json:
        emit_json("profiles", [p.model_dump(mode="json") for p in profiles])
        return
    columns = ("profile", "processor", "runtime", "flash KiB", "RAM KiB", "budget of a window", "proof machine")
    emit_table("Hardware profiles", columns, [_row(p) for p in profiles])


@app.command()
def show(name: str, workspace: WorkspacePath = Path(), library: Library = False, json: Json = False) -> None:
    """Everything one profile says, defaults included."""
    value = (_of_library(name) if library else open_workspace(workspace).profile(name)).model_dump(mode="json")
    if json:
        emit_json("profile", value)
        return
    emit_table(name, ("key", "value"), list(_flat(value)))


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="of the new profile")],
    source: Annotated[str, typer.Option("--from", metavar="LIBRARY_NAME", help="profile of the library to start from")],
    workspace: WorkspacePath = Path(),
    json: Json = False,
) -> None:
    """Write profiles/NAME.yaml, valid at once, to be changed to your device."""
    from components.workspace.profile_library import new_profile

    root = open_workspace(workspace).root
    file = new_profile(root, name, source)
    if json:
        emit_json("profile-new", {"profile": name, "from": source, "file": str(file)})
        return
    emit_line(f"{file} is written, a copy of {source} from the library")
    emit_line(f"next: list '{name}' under profiles: in {root / 'muster.yaml'} and name it as hardware_profile of devices in the")
    emit_line(f"      inventory of a fleet; muster profile check {file} says how far it can be proven here")


@app.command()
def check(
    path: Annotated[Path, typer.Argument(metavar="FILE|WORKSPACE", help="a profile's file, or folder with muster.yaml")] = Path(),
    json: Json = False,
) -> None:
    """Whether each profile is valid and can be proven here to a level that the release policy accepts."""
    from components.quantization.levels import reach

    profiles, accepted = _to_check(path)
    rows = [(p.name, got.level, got.level in accepted, got.missing) for p in profiles for got in [reach(p)]]
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


def _to_check(path: Path) -> tuple[Sequence[Profile], Sequence[str]]:
    """(profiles, accepted levels); a file alone is held to the levels that a workspace has by default."""
    if path.is_file():
        from components.workspace.release_settings import Release
        from components.workspace.workspace import read_profile

        return [read_profile(path)], Release.model_fields["proof_levels"].default
    opened = open_workspace(path)
    return opened.profiles, opened.settings.release.proof_levels


def _library() -> Sequence[Profile]:
    from components.workspace.profile_library import library

    return library()


def _of_library(name: str) -> Profile:
    from components.workspace.profile_library import library_profile

    return library_profile(name)


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
