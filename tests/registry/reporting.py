"""Devices that report: their keys, what they say, and where it is counted."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.workspace import Workspace, open_workspace
from registry.contract.cohort import bucket
from registry.contract.report import Report
from registry.contract.signed_report import sign
from registry.database import open_database, reading
from registry.health.enrolment import enroll
from registry.health.tables import health, rejections
from registry.inventory import import_devices, list_devices
from registry.rollout import show_release
from tests.registry.workspaces import make_workspace, release

NOW = 1_795_000_000


def key_of(device_id: str, generation: int = 1) -> Ed25519PrivateKey:
    """Always the same."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{device_id}/{generation}".encode()).digest())


def public(device_id: str, generation: int = 1) -> str:
    return key_of(device_id, generation).public_key().public_bytes_raw().hex()


def enroll_all(workspace: Workspace, *device_ids: str) -> None:
    for device_id in device_ids:
        enroll(workspace, device_id, public(device_id), "ana")


def artefact_of(workspace: Workspace, variant: str = "gateway-v2", release: str = "north-r1") -> str:
    return show_release(workspace, release).offer(variant).artefact_sha256


def report(device_id: str, counter: int = 1, **changes: Any) -> Report:
    """A failure, unless ``changes`` say otherwise: what a device can say without knowing any digest."""
    said = {
        "rollout_id": "north-r1",
        "device_id": device_id,
        "firmware_variant": "gateway-v2",
        "sequence_number": 1,
        "attempt": 1,
        "counter": counter,
        "boot_id": "boot-1",
        "sent_at": "2026-11-21T12:00:00Z",
        "outcome": "failed",
        "reason": "self_test_failed",
        "self_test_passed": False,
    }
    return Report.model_validate(said | changes)


def signed(device_id: str, counter: int = 1, *, by: str | None = None, generation: int = 1, **changes: Any) -> bytes:
    return sign(report(device_id, counter, **changes), key_of(by or device_id, generation))


def counted(workspace: Workspace) -> list[dict[str, Any]]:
    """The rows of ``health``, in the order of devices."""
    with reading(open_database(workspace.database_url)) as connection:
        query = sa.select(health).order_by(health.c.rollout_id, health.c.device_id)
        return [dict(row._mapping) for row in connection.execute(query)]


def refusals(workspace: Workspace) -> dict[tuple[str, str, str], int]:
    with reading(open_database(workspace.database_url)) as connection:
        return {(r.fleet, r.rollout_id, r.reason): r.deliveries for r in connection.execute(sa.select(rejections))}


def wide_canary(root: Path) -> Workspace:
    """As `released`, but two devices of three are in the first stage, and every device has its key."""
    make_workspace(root)
    text = (root / "muster.yaml").read_text()
    (root / "muster.yaml").write_text(text.replace("share: 0.1", "share: 0.6").replace("share: 0.5", "share: 0.7"))
    workspace = open_workspace(root)
    import_devices(workspace)
    release(workspace)
    enroll_all(workspace, *(d.device_id for d in list_devices(workspace) if not d.via))
    return workspace


def cohort(workspace: Workspace, variant: str = "gateway-v2", *, inside: bool = True) -> list[str]:
    """Devices of the variant that are in the first stage, or are not."""
    offer = show_release(workspace, "north-r1").offer(variant)
    firmware = "3" if variant.endswith("v3") else "2"
    mine = [d for d in list_devices(workspace) if d.hardware_profile == offer.profile and d.firmware_version[0] == firmware]
    return [d.device_id for d in mine if (bucket("north-r1", d.device_id) < offer.stages[0].upto) == inside]


def installed(workspace: Workspace, device: str, counter: int = 1, **changes: Any) -> bytes:
    digest = artefact_of(workspace)
    said = {"outcome": "installed", "reason": None, "running_sha256": digest, "self_test_passed": True} | changes
    return signed(device, counter, **said)
