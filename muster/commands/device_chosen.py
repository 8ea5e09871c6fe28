"""Which device a command plays: one of a workspace's inventory, or the one that its facts describe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.workspace import open_workspace
from components.workspace.errors import GateFailed, InputError

if TYPE_CHECKING:
    from components.workspace import Workspace
    from registry.device import Facts

Place = Annotated[str, typer.Argument(help="a workspace, or with --facts the address or folder of a repository")]
DeviceOfWorkspace = Annotated[str | None, typer.Option("--device", help="a device of the workspace's inventory")]
FactsFile = Annotated[Path | None, typer.Option("--facts", help="device.json: the device's facts, where there is no workspace")]
RootFile = Annotated[Path | None, typer.Option("--root", help="root.json from the device's image")]
Url = Annotated[str | None, typer.Option("--url", help="where the repository is served, if not from the workspace's folder")]
State = Annotated[Path | None, typer.Option("--state", help="folder for the device's memory")]


@dataclass(frozen=True)
class Chosen:
    """``place``: of the repository; ``image``: the root metadata; ``state``: the device's folder."""

    place: str
    facts: Facts
    image: bytes
    state: Path


def choose(
    place: str, *, device: str | None, facts: Path | None, root: Path | None, url: str | None, state: Path | None
) -> Chosen:
    """Raises InputError where the options name no device, or two."""
    from registry.device import read_facts

    if facts is not None and root is not None and device is None:
        return Chosen(url or place, read_facts(facts), _given_root(root), state or facts.parent / "device-state")
    if device is not None and facts is None:
        workspace = open_workspace(Path(place))
        memory = state or workspace.state / "devices" / device
        return Chosen(url or _repository(workspace), _facts(workspace, device), _root(workspace, root), memory)
    raise InputError("which device?", hint="give --device ID with a workspace, or --facts and --root with a repository")


def choose_for_report(place: str, *, device: str | None, facts: Path | None, state: Path | None) -> tuple[Facts, Path]:
    """(facts, folder) of a device that needs no repository now. Raises InputError as `choose`."""
    from registry.device import read_facts

    if facts is not None and device is None:
        return read_facts(facts), state or facts.parent / "device-state"
    if device is not None and facts is None:
        workspace = open_workspace(Path(place))
        return _facts(workspace, device), state or workspace.state / "devices" / device
    raise InputError("which device?", hint="give --device ID with a workspace, or --facts FILE")


def _facts(workspace: Workspace, device_id: str) -> Facts:
    """What a device of the inventory would know of itself; a microcontroller has the runtime that its profile asks for."""
    from registry.device import Facts
    from registry.inventory import show_device, variant_of

    entry = show_device(workspace, device_id)
    variant, reason = variant_of(workspace, entry.fleet, entry.hardware_profile, entry.firmware_version)
    if variant is None:
        raise GateFailed(f"no release reaches '{device_id}': {reason}", hint="mend the inventory, or fleets: in muster.yaml")
    profile = workspace.profile(entry.hardware_profile)
    runtime, latency = profile.runtime, profile.budget.latency_ms
    return Facts(
        device_id=device_id,
        fleet=entry.fleet,
        firmware_variant=variant,
        hardware_profile=entry.hardware_profile,
        hardware_revision=entry.hardware_revision,
        firmware_version=entry.firmware_version,
        runtime=runtime.name,
        runtime_version=runtime.minimal if runtime.name == "c99" else None,
        via=entry.via,
        latency_budget_us=round(latency * 1000) if latency is not None else None,
    )


def _root(workspace: Workspace, given: Path | None) -> bytes:
    from registry import trust
    from registry.keys import no_keys

    if given is not None:
        return _given_root(given)
    roots = trust.files_of(workspace, "root")
    if not roots:
        raise no_keys(workspace)
    return roots[0].read_bytes()


def _repository(workspace: Workspace) -> str:
    from registry.repository import location

    return location(workspace)


def _given_root(file: Path) -> bytes:
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root

    data = _bytes(file)
    try:
        Metadata[Root].from_bytes(data).signed.get_delegated_role("root")
    except (RepositoryError, ValueError, AttributeError):
        raise InputError(f"{file} is no root metadata", hint="give the root.json of the device's image") from None
    return data


def _bytes(file: Path) -> bytes:
    if not file.is_file():
        raise InputError(f"no file {file}", hint="the first root.json lies in .muster/trust of the workspace that signs")
    return file.read_bytes()
