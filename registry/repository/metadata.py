"""What the repository's metadata says, as pure functions of what is to be offered and what is already there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp

from registry import trust

TIMESTAMP = "metadata/timestamp.json"
"""The one file that is replaced."""
Days = Mapping[str, int]
"""Role -> days that its signature counts, where they are not the usual ones."""
_USUAL: Days = MappingProxyType({})


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


def targets(role: str, version: int, listed: Mapping[str, TargetFile], now: datetime, days: Days = _USUAL) -> Metadata[Targets]:
    return Metadata(Targets(version, expires=trust.expiry(role, now, days), targets=dict(sorted(listed.items()))))


def snapshot(version: int, roles: Mapping[str, int], now: datetime, days: Days = _USUAL) -> Metadata[Snapshot]:
    meta = {f"{role}.json": MetaFile(v) for role, v in sorted(roles.items())}
    return Metadata(Snapshot(version, expires=trust.expiry("snapshot", now, days), meta=meta))


def timestamp(version: int, of: bytes, snapshot_version: int, now: datetime, days: Days = _USUAL) -> Metadata[Timestamp]:
    """``of``: the bytes of the snapshot, whose digest stops a mix of old and new metadata."""
    expires = trust.expiry("timestamp", now, days)
    return Metadata(Timestamp(version, expires=expires, snapshot_meta=pin(snapshot_version, of)))


def pin(version: int, data: bytes) -> MetaFile:
    return MetaFile.from_data(version, data, ["sha256"])


def parse(data: bytes | None, kind: type[Any]) -> Metadata[Any] | None:
    """None for what is not there, does not parse, or is something else."""
    try:
        parsed: Metadata[Any] | None = Metadata.from_bytes(data) if data else None
    except RepositoryError:
        return None
    return parsed if parsed and isinstance(parsed.signed, kind) else None
