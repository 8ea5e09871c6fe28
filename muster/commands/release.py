"""`muster release`: from a draft through two persons to the devices."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.workspace import open_workspace
from components.workspace.errors import InputError
from muster.commands import release_steering
from muster.commands.following import follow
from muster.commands.release_steering import AlwaysDry, require_reason
from muster.console import Json, emit_json, emit_line, emit_table, say

if TYPE_CHECKING:
    from components.values import Artefact
    from components.workspace import Workspace
    from registry.models import ModelVersion
    from registry.rollout import Rehearsal, Release

app = typer.Typer(no_args_is_help=True, help="Releases: one model version, or one firmware of a profile, offered to one fleet.")
release_steering.add_to(app)

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]
ReleaseId = Annotated[str, typer.Argument(help="id of a release")]
Person = Annotated[str, typer.Option(help="who decides; approving takes their key")]
Reason = Annotated[str, typer.Option(help="why; it is kept in the release's log")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="show what would happen and be signed; change nothing")]


@app.command()
def draft(
    workspace: WorkspacePath = Path(),
    version: Annotated[str | None, typer.Option(help="version number or alias of the model (default: candidate)")] = None,
    actor: Annotated[str | None, typer.Option(help="who drafts (default: you)")] = None,
    again: Annotated[bool, typer.Option("--again", help="draft anew where the version's earlier release has ended")] = False,
    not_before: Annotated[str | None, typer.Option(help="no device installs earlier: 2026-12-01T02:00:00Z")] = None,
    firmware_image: Annotated[Path | None, typer.Option(help="offer this firmware instead of a model; with the next two")] = None,
    firmware_version: Annotated[str | None, typer.Option(help="version of the firmware: 3.0.1")] = None,
    profile: Annotated[str | None, typer.Option(help="profile of the devices that the firmware is for")] = None,
    over: Annotated[str, typer.Option(help="firmware that it installs over: '>=1.4'; default: whatever is older")] = "",
    fleet: Annotated[str | None, typer.Option(help="with firmware: one fleet; default: all with older devices")] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Offer a registered model version, or a firmware image, to every fleet; each release then waits for two persons."""
    import getpass

    from registry import models, rollout

    start, who = _stamp(not_before), getpass.getuser() if actor is None else actor
    if not who.strip():
        raise InputError("--actor is empty", hint="the log says who drafts; left out, it is you")
    opened = open_workspace(workspace)
    if firmware_image or firmware_version or profile or fleet or over:
        if not (firmware_image and firmware_version and profile):
            raise InputError(
                "a firmware takes --firmware-image, --firmware-version and --profile", hint="a model is offered without them"
            )
        if version is not None:
            raise InputError(
                f"--version {version} is of a model, and a firmware is offered",
                hint="--firmware-version says which; leave --version out",
            )
        drafted = rollout.draft_firmware(
            opened,
            firmware_image,
            profile,
            firmware_version,
            who,
            over=over,
            fleet=fleet,
            again=again,
            dry_run=dry_run,
            not_before=start,
        )
    else:
        found = models.find_version(opened, "candidate" if version is None else version)
        artefacts, proofs = _fetch(opened, found), models.read_proofs(opened, found)
        drafted = rollout.draft(opened, found, artefacts, proofs, who, again=again, dry_run=dry_run, not_before=start)
    if json:
        emit_json("releases", [r.to_json() for r in drafted])
    else:
        from muster.commands.release_shown import print_release

        for release in drafted:
            print_release(release)
    if dry_run:
        say("dry run: nothing was drafted")


@app.command()
def approve(
    release: ReleaseId,
    workspace: WorkspacePath = Path(),
    *,
    person: Person,
    reason: Reason,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Sign a release with your key. With the second person's signature it starts and is published."""
    from registry import rollout

    opened = open_workspace(workspace)
    if dry_run:
        signing = rollout.preview(opened, release, person)
        if json:
            emit_json("signing", asdict(signing))
            return
        from muster.commands.release_shown import print_release

        print_release(rollout.show_release(opened, release))
        emit_line(f"would sign version {signing.version} of the releases role, digest {signing.digest}")
        emit_line(f"signed so far: {', '.join(signing.approvals) or 'nobody'}; needed: {signing.needed} persons")
        return
    require_reason(reason)
    approved = rollout.approve(opened, release, person, reason)
    follow(opened)
    _emit(approved, json=json)


@app.command()
def deny(
    release: ReleaseId,
    workspace: WorkspacePath = Path(),
    *,
    person: Person,
    reason: Reason,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """End a release that waits for approval."""
    from registry import rollout

    opened = open_workspace(workspace)
    require_reason(reason)
    _emit(rollout.deny(opened, release, person, reason, dry_run=dry_run), json=json)
    if dry_run:
        say("dry run: nothing was denied")
    else:
        follow(opened)


@app.command()
def start(release: ReleaseId, workspace: WorkspacePath = Path(), dry_run: DryRun = False, json: Json = False) -> None:
    """Make sure that an approved release is published; exits 7 while it waits for persons."""
    from registry import rollout

    opened = open_workspace(workspace)
    found = rollout.start(opened, release, dry_run=dry_run)
    if dry_run:
        _emit_rehearsal(rollout.rehearse(opened), json=json)
    else:
        _emit(found, json=json)


@app.command()
def show(release: ReleaseId, workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """What a release offers to which devices, and how far it is."""
    from registry import rollout

    _emit(rollout.show_release(open_workspace(workspace), release), json=json)


@app.command("list")
def list_all(workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """Every release of every fleet."""
    from registry import rollout

    found = rollout.list_releases(open_workspace(workspace))
    if json:
        emit_json("releases", [r.to_json() for r in found])
        return
    columns = ("release", "fleet", "offers", "state", "stage", "variants", "devices", "approved by")
    emit_table("Releases", columns, [_row(r) for r in found])


@app.command()
def history(release: ReleaseId, workspace: WorkspacePath = Path(), _dry_run: AlwaysDry = False, json: Json = False) -> None:
    """The log of a release: who did what, when."""
    from registry import rollout

    log = rollout.history(open_workspace(workspace), release)
    if json:
        emit_json("history", [asdict(e) for e in log])
        return
    rows = [(e.revision, e.time, e.actor, e.kind, e.payload.get("reason") or e.payload.get("by", ""), e.hash[:16]) for e in log]
    emit_table(f"Log of {release}", ("revision", "time", "actor", "event", "why", "hash"), rows)


@app.command()
def publish(
    workspace: WorkspacePath = Path(),
    to: Annotated[str | None, typer.Option(help="mirror it into this folder or s3://bucket/prefix too, to the byte")] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Bring the repository to what the log says, and sign anew what nears its expiry."""
    from registry import repository, rollout

    opened = open_workspace(workspace)
    if dry_run:
        _emit_rehearsal(rollout.rehearse(opened, [*repository.mirrors(opened), *([] if to is None else [to])]), json=json)
        return
    there = repository.open_store(opened, to) if to is not None else None
    written, offline = rollout.reconcile(opened), repository.expiring_offline(opened)
    follow(opened)
    mirrored = repository.mirror(opened, repository.open_store(opened), there) if there else ()
    if json:
        emit_json("publication", {"written": written, "needs_people": offline, "mirrored": mirrored})
    else:
        emit_line(
            f"written: {', '.join(written)}"
            if written
            else "nothing to write: the metadata says what the log says (muster release verify reads every file)"
        )
        if to:
            emit_line(f"{to}: {len(mirrored)} files written" if mirrored else f"{to} is the same already")
    if offline:
        say(
            f"near their expiry, and signed by persons only: {', '.join(offline)} (muster keys init; releases: muster keys renew)"
        )


@app.command()
def verify(
    workspace: WorkspacePath = Path(),
    at: Annotated[str | None, typer.Option(help="a mirror to look at instead: a folder or s3://bucket/prefix")] = None,
    _dry_run: AlwaysDry = False,
    json: Json = False,
) -> None:
    """Check the hash chain of every log, and that the repository has all that they say is live, rightly signed."""
    from registry import rollout

    found = rollout.verify(open_workspace(workspace), at)
    if json:
        emit_json("verification", [{"release": r.id, "revision": r.revision} for r in found.releases])
        return
    emit_line(f"{len(found.releases)} releases: every log is whole")
    emit_line(f"{found.published} published manifests and artefacts verify" if found.published else "nothing is published yet")


def _stamp(text: str | None) -> datetime | None:
    from registry.contract.times import parse_stamp

    try:
        return parse_stamp(text) if text else None
    except ValueError:
        raise InputError(f"--not-before: '{text}' is no time", hint="write it in UTC, as in 2026-12-01T02:00:00Z") from None


def _fetch(workspace: Workspace, version: ModelVersion) -> list[Artefact]:
    """The artefacts of a model version."""
    import tempfile

    from components.values import Artefact
    from registry import models

    with tempfile.TemporaryDirectory() as folder:
        files = models.fetch(workspace, version, "artefacts", Path(folder))
        return [Artefact.load(f) for f in sorted(files.iterdir())]


def _emit(release: Release, *, json: bool) -> None:
    from muster.commands.release_shown import print_release

    if json:
        emit_json("release", release.to_json())
    else:
        print_release(release)


def _emit_rehearsal(found: Rehearsal, *, json: bool) -> None:
    if json:
        emit_json("rehearsal", asdict(found))
    elif found.files:
        emit_table("Would be written", ("file",), [(name,) for name in found.files])
        emit_line(f"would be signed or put back: {', '.join(found.roles)}")
    else:
        emit_line("nothing to write: the metadata says what the log says (muster release verify reads every file)")
    say("dry run: nothing was written")


def _row(release: Release) -> tuple[object, ...]:
    return (
        release.id,
        release.fleet,
        release.title,
        release.state.replace("_", " "),
        release.stage + 1,
        len(release.manifests),
        sum(o.devices for o in release.manifests),
        ", ".join(a.person for a in release.approvals),
    )
