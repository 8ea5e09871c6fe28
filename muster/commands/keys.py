"""`muster keys`: who may sign."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.workspace import open_workspace
from muster.console import Json, emit_json, emit_line, emit_table, say

if TYPE_CHECKING:
    from registry.keys import Holder

app = typer.Typer(no_args_is_help=True, help="Keys: who may sign what.")

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]


@app.command()
def init(
    workspace: WorkspacePath = Path(),
    person: Annotated[list[str] | None, typer.Option(help="who may release; give it at least twice")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="mark the keys as those of a demonstration")] = False,
    json: Json = False,
) -> None:
    """Make every key that is missing; run it again for new persons, new fleets, and before the root expires.

    Set MUSTER_KEY_PASSPHRASE to encrypt the key files.
    """
    from registry.keys import init_keys

    _print(init_keys(open_workspace(workspace), person or (), demo=demo), json=json)


@app.command()
def rotate(
    role: Annotated[str, typer.Argument(help="snapshot, timestamp or fleet-<name>")],
    workspace: WorkspacePath = Path(),
    json: Json = False,
) -> None:
    """Replace an online key and publish. Takes the root keys (a fleet's: the targets key); no device is refused meanwhile."""
    from registry.rollout import reconcile
    from registry.rotation import rotate_key

    opened = open_workspace(workspace)
    done = rotate_key(opened, role)
    reconcile(opened)
    if json:
        emit_json("rotation", asdict(done))
    else:
        emit_line(f"{role}: key {done.before[:16]} is replaced by {done.after[:16]}")


@app.command()
def show(workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """Every key that devices trust, and whether its private half lies in this workspace."""
    from registry.keys import show_keys

    _print(show_keys(open_workspace(workspace)), json=json)


def _print(holders: tuple[Holder, ...], *, json: bool) -> None:
    if json:
        emit_json("keys", [asdict(h) for h in holders])
    else:
        rows = [(h.role, h.name, h.keyid[:16], "here" if h.here else "elsewhere", "demo" if h.demo else "") for h in holders]
        emit_table("Trusted keys", ("role", "holder", "key", "private half", ""), rows)
    if any(h.demo for h in holders):
        say("these are demo keys: whoever has this folder can sign; make your own before real devices trust them")
