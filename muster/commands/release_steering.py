"""`muster release`: how far a rollout is, and what persons may do with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.workspace import open_workspace
from components.workspace.errors import InputError
from muster.commands.following import follow
from muster.console import Json, emit_json, emit_line, emit_table, say

if TYPE_CHECKING:
    from components.workspace import Workspace
    from registry.rollout import Release, Taken

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]
ReleaseId = Annotated[str, typer.Argument(help="id of a release")]
Person = Annotated[str, typer.Option(help="who decides")]
Reason = Annotated[str, typer.Option(help="why; it is kept in the release's log")]
Variant = Annotated[list[str] | None, typer.Option(help="a firmware variant, repeatable; all where it is left out")]
Revision = Annotated[int | None, typer.Option(min=1, help="the revision you decided on; a newer one is a conflict")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="show what would happen; change nothing")]
AlwaysDry = Annotated[bool, typer.Option("--dry-run", help="as ever: this only reads; scripts may say it to every command")]

_ORDERS = {
    "promote": "Open the next stage now, whatever its gate says; after the last stage, let in every device.",
    "pause": "No device begins to install; those that have begun go on.",
    "resume": "Go on after a pause or a hold. After a halt it takes two persons, each with their key; exits 7 after the first.",
    "hold": "Open nothing new; devices that were let in go on.",
    "halt": "Stop it as a gate does.",
    "rollback": "Tell devices that run it to go back to what they ran before.",
    "abort": "End it for good: devices keep what they run, nobody gets it any more.",
}


def add_to(app: typer.Typer) -> None:
    """One command an order; they differ in nothing but their name."""
    for name, summary in _ORDERS.items():
        app.command(name, help=summary)(_command(name))
    app.command()(status)
    app.command()(tick)
    app.command()(diff)


def status(
    release: ReleaseId,
    workspace: WorkspacePath = Path(),
    watch: Annotated[bool, typer.Option("--watch", help="go on showing it until it ends, or Ctrl-C")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="with --watch: seconds between looks")] = 5.0,
    _dry_run: AlwaysDry = False,
    json: Json = False,
) -> None:
    """Stage, counts, gates against their thresholds, and what happens next and when."""
    from registry.rollout.clock import stopped

    opened = open_workspace(workspace)
    if watch:
        _watch(opened, release, every, json=json)
        return
    found, views = _look(opened, release)
    _show(found, views, json=json)
    if ended := stopped(opened):
        say(f"a rehearsal that was kept: as it stood at its end, {ended:%Y-%m-%dT%H:%M:%SZ}")


def tick(workspace: WorkspacePath = Path(), dry_run: DryRun = False, json: Json = False) -> None:
    """Evaluate the gates of every release that runs, take the steps that are due, and publish them."""
    from registry import rollout

    opened = open_workspace(workspace)
    taken = rollout.tick(opened, dry_run=dry_run)
    if not dry_run:
        follow(opened)
    if json:
        emit_json("tick", [asdict(t) for t in taken])
    else:
        _print_taken(taken)
    if dry_run:
        say("dry run: nothing was changed")


def diff(
    release: ReleaseId,
    other: Annotated[str | None, typer.Argument(help="another release; left out, what the variants ran before")] = None,
    workspace: Annotated[Path, typer.Option("--in", help="folder with muster.yaml")] = Path(),
    _dry_run: AlwaysDry = False,
    json: Json = False,
) -> None:
    """What a release changes, variant by variant: version, artefact, size, runtime, devices."""
    from registry import rollout

    rows = rollout.changes(open_workspace(workspace), release, other)
    if json:
        emit_json("diff", [asdict(r) for r in rows])
        return
    emit_table(
        f"{other or 'before'} -> {release}",
        ("variant", "version", "artefact", "bytes", "runtime", "devices"),
        [
            (
                r.variant,
                f"{r.before.version if r.before else 'none'} -> {r.after.version if r.after else 'none'}",
                f"{r.before.sha256[:12] if r.before else 'none'} -> {r.after.sha256[:12] if r.after else 'none'}",
                f"{r.before.length if r.before else 0:,} -> {r.after.length if r.after else 0:,}",
                f"{r.before.runtime if r.before else 'none'} -> {r.after.runtime if r.after else 'none'}",
                r.devices,
            )
            for r in rows
        ],
    )


def require_reason(reason: str) -> None:
    if not reason.strip():
        raise InputError("the reason is empty", hint="say why: it is kept in the release's log")


def _command(name: str) -> Callable[..., None]:
    def order(
        release: ReleaseId,
        workspace: WorkspacePath = Path(),
        *,
        person: Person,
        reason: Reason,
        variant: Variant = None,
        revision: Revision = None,
        dry_run: DryRun = False,
        json: Json = False,
    ) -> None:
        from registry import rollout

        require_reason(reason)
        wanted = rollout.Order(person, reason, tuple(variant or ()), revision, dry_run)
        act = getattr(rollout, name)
        opened = open_workspace(workspace)
        after = act(opened, release, wanted)
        if not dry_run:
            follow(opened)
        if json:
            emit_json("release", after.to_json())
        else:
            _print_states(after)
        if dry_run:
            say("dry run: nothing was changed")

    return order


def _print_states(release: Release) -> None:
    columns = ("variant", "state", "stage", "sequence", "why")
    rows = [(o.variant, o.state.replace("_", " "), o.plan.name, o.sequence, o.why) for o in release.manifests]
    emit_table(f"{release.id}, revision {release.revision}", columns, rows)


def _print_taken(taken: tuple[Taken, ...]) -> None:
    if not taken:
        emit_line("nothing is due")
        return
    rows = [(t.release, ", ".join(t.variants), t.event.replace("_", " "), t.reason) for t in taken]
    emit_table("Steps", ("release", "variants", "event", "why"), rows)


def _look(workspace: Workspace, release_id: str) -> tuple[Release, tuple[Any, ...]]:
    from registry import rollout

    release = rollout.show_release(workspace, release_id)
    return release, rollout.views(workspace, release) if release.started else ()


def _show(release: Release, views: tuple[Any, ...], *, json: bool) -> None:
    from muster.commands.release_shown import print_release, print_status, status_json

    if json:
        emit_json("release-status", status_json(release, views))
    elif views:
        print_status(release, views)
    else:
        print_release(release)


def _watch(workspace: Workspace, release_id: str, every: float, *, json: bool) -> None:
    """A table again and again on a terminal; with --json one document a line, whenever it changes."""
    import sys
    import time
    from json import dumps

    import click

    from muster.commands.release_shown import print_status, status_json
    from muster.console import SCHEMA_VERSION

    before = ""
    while True:
        release, views = _look(workspace, release_id)
        line = dumps(
            {"schema_version": SCHEMA_VERSION, "kind": "release-status", "data": status_json(release, views)}, sort_keys=True
        )
        if line != before and json:
            emit_line(line)
        elif line != before:
            if sys.stdout.isatty():
                click.clear()
            print_status(release, views)
        sys.stdout.flush()
        before = line
        if not release.open:
            return
        time.sleep(every)
