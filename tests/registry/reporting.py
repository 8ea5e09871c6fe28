"""Devices that report: their keys, what they say, and where it is counted."""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.workspace import Workspace
from registry.contract.report import Report
from registry.contract.signed_report import sign
from registry.database import open_database, reading
from registry.health.enrolment import enroll
from registry.health.tables import health, rejections
from registry.rollout import show_release

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
