"""What the repository's metadata says, as pure functions of what is to be offered and what is already there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp

from registry import trust


def artefact_path(sha256: str) -> str:
    return f"artifacts/{sha256}.artefact"


def stored_name(path: str, sha256: str) -> str:
    """Where a target lies: its name is prefixed with its digest, so that a written file never changes."""
    folder, _, name = path.rpartition("/")
    return f"targets/{folder}/{sha256}.{name}"


def artefact_target(sha256: str, length: int, custom: Mapping[str, Any]) -> TargetFile:
    """An artefact as the `releases` role lists it, with what a device has to find confirmed in ``custom``."""
    return TargetFile(length, {"sha256": sha256}, artefact_path(sha256), {"custom": dict(custom)})


def manifest_targets(manifests: Mapping[str, bytes]) -> dict[str, TargetFile]:
    """Path -> bytes of one fleet's manifests as its role lists them."""
    return {path: TargetFile.from_data(path, data, ["sha256"]) for path, data in sorted(manifests.items())}


def targets(role: str, version: int, listed: Mapping[str, TargetFile], now: datetime) -> Metadata[Targets]:
    return Metadata(Targets(version, expires=trust.expiry(role, now), targets=dict(sorted(listed.items()))))


def snapshot(version: int, roles: Mapping[str, int], now: datetime) -> Metadata[Snapshot]:
    meta = {f"{role}.json": MetaFile(v) for role, v in sorted(roles.items())}
    return Metadata(Snapshot(version, expires=trust.expiry("snapshot", now), meta=meta))


def timestamp(version: int, of: bytes, snapshot_version: int, now: datetime) -> Metadata[Timestamp]:
    """``of``: the bytes of the snapshot, whose digest stops a mix of old and new metadata."""
    return Metadata(Timestamp(version, expires=trust.expiry("timestamp", now), snapshot_meta=pin(snapshot_version, of)))


def pin(version: int, data: bytes) -> MetaFile:
    return MetaFile.from_data(version, data, ["sha256"])
