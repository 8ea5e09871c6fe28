"""`muster keys`: who may sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.workspace import open_workspace
from components.workspace.errors import BackendUnreachable, InputError, MusterError
from muster.commands.following import follow
from muster.console import Json, emit_json, emit_line, emit_table, say

if TYPE_CHECKING:
    from components.workspace import Workspace
    from registry.keys import Holder, Rotation

app = typer.Typer(no_args_is_help=True, help="Keys: who may sign what.")

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]
Name = Annotated[str, typer.Argument(help="a person")]
PublicKey = Annotated[Path | None, typer.Option(help="PEM file, where the private half is kept elsewhere (registry.signers)")]


@app.command()
def init(
    workspace: WorkspacePath = Path(),
    person: Annotated[list[str] | None, typer.Option(help="who may release; give it at least twice")] = None,
    public_key: Annotated[
        list[str] | None, typer.Option(help="ROLE=FILE: PEM file of a key whose private half is kept elsewhere; repeat")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="mark the keys as those of a demonstration")] = False,
    json: Json = False,
) -> None:
    """Make every key that is missing; run it again for new persons, new fleets, and before root or targets expire.

    Set MUSTER_KEY_PASSPHRASE to encrypt the key files.
    """
    from registry.keys import init_keys

    brought = dict(_pair(text) for text in public_key or ())
    opened = open_workspace(workspace)
    _print(opened, init_keys(opened, person or (), demo=demo, public_keys=brought), json=json)


@app.command()
def rotate(
    role: Annotated[
        str, typer.Argument(help="root-1, root-2, root-3, targets, snapshot, timestamp, fleet-<name> or people/<name>")
    ],
    workspace: WorkspacePath = Path(),
    compromised: Annotated[
        bool, typer.Option("--compromised", help="somebody else has it: snapshot and timestamp get new keys, too")
    ] = False,
    public_key: PublicKey = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show which keys would be replaced; change nothing")] = False,
    json: Json = False,
) -> None:
    """Replace a key and publish; no device is refused meanwhile. Takes root keys, or for fleets and persons the targets key.

    A person's key may need what is released signed anew (muster keys renew): exits 7 until two persons have.
    """
    from registry.keys import rotate_key
    from registry.rollout import reconcile, rotate_person

    opened = open_workspace(workspace)
    if not dry_run:
        _publish_the_last(opened)
    done: list[Rotation] = []
    if role.startswith("people/"):
        done.append(rotate_person(opened, role.removeprefix("people/"), public_key=public_key, dry_run=dry_run))
        if compromised:
            done += rotate_key(opened, "timestamp", compromised=True, dry_run=dry_run)
    else:
        done += rotate_key(opened, role, compromised=compromised, public_key=public_key, dry_run=dry_run)
    if not dry_run:
        reconcile(opened)
        follow(opened)
    if json:
        emit_json("rotation", [asdict(r) for r in done])
        return
    for each in done:
        after = f"is replaced by {each.after[:16]}" if each.after else "would be replaced"
        emit_line(f"{each.role}: key {each.before[:16]} {after}")


@app.command()
def add(name: Name, workspace: WorkspacePath = Path(), public_key: PublicKey = None, json: Json = False) -> None:
    """Let one more person release, and publish. Takes the targets key."""
    from registry.rollout import add_person

    opened = open_workspace(workspace)
    _staffed(opened, add_person(opened, name, public_key=public_key), json=json)


@app.command()
def remove(name: Name, workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """Take a person's signature no more, and publish. Takes the targets key; two persons have to be left.

    What is released has to be signed by two of those who stay (muster keys renew): exits 7 until it is.
    """
    from registry.rollout import remove_person

    opened = open_workspace(workspace)
    _staffed(opened, remove_person(opened, name), json=json)


@app.command()
def renew(
    workspace: WorkspacePath = Path(),
    *,
    person: Annotated[str, typer.Option(help="whose key signs")],
    reason: Annotated[str, typer.Option(help="why; it is kept")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be signed; change nothing")] = False,
    json: Json = False,
) -> None:
    """Sign what is released anew: the same artefacts, a fresh expiry. Takes two persons; the second one's is published."""
    from registry.rollout import renew as sign

    opened = open_workspace(workspace)
    done = sign(opened, person, reason, dry_run=dry_run)
    if json:
        emit_json("renewal", asdict(done))
        return
    more = "in force" if done.in_force else f"waits for {done.needed - len(done.persons)} more"
    emit_line(f"releases version {done.version}, digest {done.digest}: signed by {', '.join(done.persons)}; {more}")
    if dry_run:
        say("dry run: nothing was signed")


@app.command()
def show(workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """Every key that devices trust, until when, and which private halves this workspace can sign with."""
    from registry.keys import show_keys

    opened = open_workspace(workspace)
    _print(opened, show_keys(opened), json=json)


def _publish_the_last(workspace: Workspace) -> None:
    """A rotation that waits to be published: with two at once no root accepts what devices find in between (TUF 5.3, 6.1).

    Raises:
        BackendUnreachable: the repository cannot be written; neither could what follows.
    """
    from registry.repository import unpublished_roots
    from registry.rollout import reconcile

    if not (waiting := unpublished_roots(workspace)):
        return
    try:
        reconcile(workspace)
    except BackendUnreachable:
        raise
    except MusterError as error:
        # A lost key: this rotation may be the very one that mends it.
        say(f"{', '.join(waiting)} could not be published first, so that devices may refuse for a moment: {error.message}")


def _pair(text: str) -> tuple[str, Path]:
    role, equals, file = text.partition("=")
    if not (role and equals and file):
        raise InputError(f"--public-key: '{text}' is not ROLE=FILE", hint="for instance timestamp=timestamp.pem")
    return role, Path(file)


def _staffed(workspace: Workspace, persons: Sequence[str], *, json: bool) -> None:
    from registry.rollout import reconcile

    reconcile(workspace)
    follow(workspace)
    if json:
        emit_json("persons", list(persons))
    else:
        emit_line(f"who may release: {', '.join(persons)}; two of them at a time")


def _print(workspace: Workspace, holders: tuple[Holder, ...], *, json: bool) -> None:
    from registry.keys import exposed, near_expiry

    if json:
        emit_json("keys", [asdict(h) for h in holders])
    else:
        rows = [(h.role, h.name, h.keyid[:16], _place(h), "demo" if h.demo else "") for h in holders]
        emit_table("Trusted keys", ("role", "holder", "key", "private half", ""), rows)
    if any(h.demo for h in holders):
        say("these are demo keys: whoever has this folder can sign; make your own before real devices trust them")
    elif beside := exposed(holders):
        say(f"offline keys lie beside the online ones: {', '.join(beside)}; move them to where nobody works (docs/releases.md)")
    if stale := near_expiry(workspace):
        say(f"near their expiry: {', '.join(stale)} (muster keys init, where their keys are)")


def _place(holder: Holder) -> str:
    return {"": "elsewhere", "file": "here"}.get(holder.signer, holder.signer)
