"""Put artefacts that the repository lost back: from the model registry, which has every version's bytes, and firmware from
the workspace.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from components.workspace import Workspace
from components.workspace.errors import MusterError, NotFound, VerificationFailed
from components.workspace.files import sha256_bytes
from registry import models
from registry.repository import upload_artefact
from registry.repository.metadata import artefact_path, stored_name
from registry.repository.store import Store
from registry.rollout.release import Offer, Release

_FOLDER = "targets/artifacts"


def restore_artefacts(
    workspace: Workspace, offered: Iterable[tuple[Release, Offer]], store: Store
) -> tuple[tuple[str, ...], tuple[MusterError, ...]]:
    """(paths put back, why others could not be). An artefact that is there is not read again."""
    present = set(store.names(_FOLDER))
    missing = {o.artefact_sha256: (r, o) for r, o in offered if _stored(o.artefact_sha256) not in present}
    restored: list[str] = []
    failed: list[MusterError] = []
    for sha256, (release, offer) in missing.items():
        try:
            upload_artefact(workspace, sha256, _bytes_of(workspace, release, offer), store=store)
            restored.append(artefact_path(sha256))
        except MusterError as error:
            failed.append(error)
    return tuple(restored), tuple(failed)


def _bytes_of(workspace: Workspace, release: Release, offer: Offer) -> bytes:
    what = f"artefact {offer.artefact_sha256[:12]} of '{release.id}' for '{offer.profile}'"
    if offer.kind == "firmware":
        return _kept_firmware(workspace, offer.artefact_sha256, what)
    try:
        version = models.find_version(workspace, str(release.model_version))
        with tempfile.TemporaryDirectory() as folder:
            data = models.fetch(workspace, version, f"artefacts/{offer.profile}.artefact", Path(folder)).read_bytes()
    except MusterError as error:
        raise type(error)(f"{what} is lost: {error.message}", hint=error.hint) from None
    if sha256_bytes(data) != offer.artefact_sha256:
        raise VerificationFailed(f"{what} is lost: the model registry has other bytes for version {release.model_version}")
    return data


def _kept_firmware(workspace: Workspace, sha256: str, what: str) -> bytes:
    file = firmware_file(workspace, sha256)
    if not file.is_file():
        raise NotFound(f"{what} is lost: {file} is not there", hint="restore the firmware image from a backup")
    data = file.read_bytes()
    if sha256_bytes(data) != sha256:
        raise VerificationFailed(f"{what} is lost: {file} was changed")
    return data


def firmware_file(workspace: Workspace, sha256: str) -> Path:
    """Where the workspace keeps a firmware image, which no model registry has."""
    return workspace.state / "firmware" / f"{sha256}.image"


def _stored(sha256: str) -> str:
    return stored_name(artefact_path(sha256), sha256).removeprefix(f"{_FOLDER}/")
