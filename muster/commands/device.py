"""`muster device`: what one device would do, and why."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.workspace import open_workspace
from components.workspace.errors import GateFailed, InputError
from muster.console import Json, emit_json, emit_line, emit_table

if TYPE_CHECKING:
    from components.workspace import Workspace
    from registry.device import Decision, Facts

app = typer.Typer(no_args_is_help=True, help="Devices: what one would install now, and why.")

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]


@app.command()
def check(
    place: Annotated[str, typer.Argument(help="a workspace, or with --facts the address or folder of a repository")] = ".",
    device: Annotated[str | None, typer.Option(help="a device of the workspace's inventory")] = None,
    facts: Annotated[Path | None, typer.Option(help="device.json: the device's facts, where there is no workspace")] = None,
    root: Annotated[Path | None, typer.Option(help="root.json from the device's image")] = None,
    url: Annotated[str | None, typer.Option(help="where the repository is served, if not from the workspace's folder")] = None,
    state: Annotated[Path | None, typer.Option(help="folder for the device's memory")] = None,
    json: Json = False,
) -> None:
    """Check as the device does: verify the metadata, the manifest and the artefact, and run its self-test.

    Exits 8 with a reason when something does not verify, 0 when there is something to install or nothing to do.
    """
    from registry.device import check as check_device
    from registry.device import read_facts

    if facts is not None and root is not None:
        base, known, image, memory = url or place, read_facts(facts), _bytes(root), state or facts.parent / "device-state"
    elif device is not None and facts is None:
        workspace = open_workspace(Path(place))
        base, known, image = url or _repository(workspace), _facts(workspace, device), _root(workspace, root)
        memory = state or workspace.state / "devices" / device
    else:
        raise InputError("which device?", hint="give --device ID with a workspace, or --facts and --root with a repository")
    decision = check_device(base, image, known, memory)
    if json:
        emit_json("device-check", _as_json(known, decision))
    else:
        _print(known, decision)


@app.command()
def show(device: str, workspace: WorkspacePath = Path(), json: Json = False) -> None:
    """A device's entry in the inventory, its firmware variant, and what it has seen."""
    from registry.device.floors import read_floors
    from registry.inventory import show_device, variant_of

    opened = open_workspace(workspace)
    entry = show_device(opened, device)
    variant, reason = variant_of(opened, entry.fleet, entry.hardware_profile, entry.firmware_version)
    floors = read_floors(opened.state / "devices" / device)
    value = asdict(entry) | {"firmware_variant": variant, "reason": reason, "floors": floors.model_dump(mode="json")}
    if json:
        emit_json("device", value)
    else:
        emit_table(device, ("key", "value"), [(k, v) for k, v in value.items() if v])


def _facts(workspace: Workspace, device_id: str) -> Facts:
    """What a device of the inventory would know of itself; a microcontroller has the runtime that its profile asks for."""
    from registry.device import Facts
    from registry.inventory import show_device, variant_of

    entry = show_device(workspace, device_id)
    variant, reason = variant_of(workspace, entry.fleet, entry.hardware_profile, entry.firmware_version)
    if variant is None:
        raise GateFailed(f"no release reaches '{device_id}': {reason}", hint="mend the inventory, or fleets: in muster.yaml")
    runtime = workspace.profile(entry.hardware_profile).runtime
    return Facts(
        device_id=device_id,
        fleet=entry.fleet,
        firmware_variant=variant,
        hardware_profile=entry.hardware_profile,
        firmware_version=entry.firmware_version,
        runtime=runtime.name,
        runtime_version=runtime.minimal if runtime.name == "c99" else None,
        via=entry.via,
    )


def _root(workspace: Workspace, given: Path | None) -> bytes:
    from registry import trust
    from registry.keys import no_keys

    if given is not None:
        return _bytes(given)
    roots = trust.files_of(workspace, "root")
    if not roots:
        raise no_keys(workspace)
    return roots[0].read_bytes()


def _repository(workspace: Workspace) -> str:
    from registry.repository import location

    return location(workspace)


def _bytes(file: Path) -> bytes:
    if not file.is_file():
        raise InputError(f"no file {file}", hint="the first root.json lies in .muster/trust of the workspace that signs")
    return file.read_bytes()


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
