"""`muster device`: what one device would do, and why; and whose signature counts as the device's. It acts in device_acting.py."""

from __future__ import annotations

import getpass
import re
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.workspace import open_workspace
from components.workspace.errors import InputError
from muster.commands import device_acting
from muster.commands.device_chosen import DeviceOfWorkspace, FactsFile, Place, RootFile, State, Url, choose
from muster.console import Json, emit_json, emit_line, emit_table, say

if TYPE_CHECKING:
    from registry.device import Decision, Facts

app = typer.Typer(no_args_is_help=True, help="Devices: what one would install now, and why; installing it; reports and keys.")

device_acting.add_to(app)

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]


@app.command()
def check(
    place: Place = ".",
    device: DeviceOfWorkspace = None,
    facts: FactsFile = None,
    root: RootFile = None,
    url: Url = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Check as the device does: verify the metadata, the manifest and the artefact, and run its self-test.

    Exits 8 with a reason when something does not verify, 0 when there is something to install or nothing to do.
    """
    from registry.device import check as check_device

    chosen = choose(place, device=device, facts=facts, root=root, url=url, state=state)
    decision = check_device(chosen.place, chosen.image, chosen.facts, chosen.state)
    if json:
        emit_json("device-check", _as_json(chosen.facts, decision))
    else:
        _print(chosen.facts, decision)


@app.command()
def show(device: str, workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """A device's entry in the inventory, its firmware variant, and what it has seen."""
    from registry.device.floors import read_floors
    from registry.health.enrolment import states
    from registry.health.running import running
    from registry.inventory import show_device, variant_of

    opened = open_workspace(workspace)
    entry = show_device(opened, device)
    variant, reason = variant_of(opened, entry.fleet, entry.hardware_profile, entry.firmware_version, entry.hardware_revision)
    floors = read_floors(opened.state / "devices" / device).model_dump(mode="json")
    enrolled, runs = states(opened, [device]).get(device), running(opened, [device]).get(device)
    value = asdict(entry) | {"firmware_variant": variant, "reason": reason, "floors": floors}
    if json:
        more = {"enrolment": asdict(enrolled) if enrolled else None, "runs": asdict(runs) if runs else None}
        emit_json("device", value | more)
    else:
        value.pop("floors")
        said = f"{enrolled.state} since {enrolled.time}, by {enrolled.actor}" if enrolled else "never enrolled"
        emit_table(
            device,
            ("key", "value"),
            [(k, v) for k, v in (value | _flat(floors) | {"enrolment": said, "runs": runs.model if runs else ""}).items() if v],
        )


def _flat(floors: dict[str, Any]) -> dict[str, str]:
    """What must never go back, a row each."""
    shown = {k: ", ".join(f"{name} {n}" for name, n in v.items()) if isinstance(v, dict) else v for k, v in floors.items()}
    return {f"floor of {k.replace('_', ' ')}": str(v) for k, v in shown.items()}


@app.command()
def enroll(
    device: Annotated[str, typer.Argument(help="a device of the inventory")],
    workspace: WorkspacePath = Path(),
    public_key: Annotated[str | None, typer.Option(help="the device's ed25519 key: 64 hex digits")] = None,
    make_key: Annotated[Path | None, typer.Option(help="make a key pair; the private key goes into this new file")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="in place of the key it has; the old one never counts again")
    ] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="nothing signed for the device counts any more")] = False,
    reason: Annotated[str, typer.Option(help="kept in the history; needed to revoke")] = "",
    actor: Annotated[str | None, typer.Option(help="who does it; default: you")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check and say what would be, change nothing")] = False,
    json: Json = False,
) -> None:
    """Say whose signature counts as the device's: its public key, a new key pair, or none any more."""
    from registry.health import enrolment

    ways = (public_key is not None) + (make_key is not None) + revoke
    if ways != 1 or (revoke and (replace or not reason)):
        raise InputError("what is to be done?", hint="give --public-key HEX, --make-key FILE, or --revoke with --reason TEXT")
    opened, who = open_workspace(workspace), actor or getpass.getuser()
    if revoke:
        change = enrolment.revoke(opened, device, reason, who, dry_run=dry_run)
    elif make_key is not None:
        change = enrolment.enroll_new_key(opened, device, make_key, who, reason=reason, replace=replace, dry_run=dry_run)
    else:
        change = enrolment.enroll(opened, device, public_key or "", who, reason=reason, replace=replace, dry_run=dry_run)
    entry = change.enrolment
    if json:
        emit_json("device-enroll", asdict(change) | {"dry_run": dry_run})
        return
    would = "would be " if dry_run and change.changed else "" if change.changed else "already "
    emit_line(f"{device}: {would}{entry.state}, key {entry.public_key[:16]}…")
    if make_key is not None and not dry_run:
        say(f"private key: {make_key}; bring it onto the device and keep no copy")


@app.command()
def token(
    workspace: WorkspacePath = Path(),
    *,
    fleet: Annotated[str, typer.Option(help="the fleet whose devices may use it")],
    device: Annotated[str | None, typer.Option(help="the one device that may use it")] = None,
    valid: Annotated[str, typer.Option(help="how long: 30min, 1h, 2d")] = "1h",
    actor: Annotated[str | None, typer.Option(help="who does it; default: you")] = None,
    json: Json = False,
) -> None:
    """Make a token with which one device enrols itself, once. It is shown now and never again."""
    from registry.health import tokens

    opened = open_workspace(workspace)
    made = tokens.issue(opened, fleet, device, _duration(valid), actor or getpass.getuser())
    if json:
        emit_json("device-token", {"token": made, "fleet": fleet, "device": device, "valid": valid})
    else:
        emit_line(made)


_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})(s|min|h|d)", text)
    if match is None:
        raise InputError(f"'{text}' is no time", hint="write --valid 30min, 1h or 2d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _as_json(facts: Facts, decision: Decision) -> dict[str, Any]:
    manifest = decision.manifest.model_dump(mode="json") if decision.manifest else None
    return {
        "device": facts.model_dump(mode="json"),
        "install": decision.install,
        "reason": decision.reason.value,
        "detail": decision.detail,
        "self_test": decision.self_test,
        "manifest": manifest,
    }


def _print(facts: Facts, decision: Decision) -> None:
    if decision.manifest is None or not decision.install:
        emit_line(f"{facts.device_id}: nothing to do [{decision.reason}]: {decision.detail}")
        return
    manifest, artefact = decision.manifest, decision.manifest.artifact
    emit_line(f"{facts.device_id}: would install {artefact.name} version {artefact.version}")
    emit_line(f"  artefact   {artefact.sha256} ({artefact.length:,} bytes)")
    emit_line(f"  release    {manifest.rollout_id}, {manifest.firmware_variant}, sequence {manifest.sequence_number}")
    emit_line(f"  self-test  {decision.self_test}")
