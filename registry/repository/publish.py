"""Sign and write what changed, so that every reader sees the old repository or the new one.

Order: target files, earlier roots, targets, releases, fleets, snapshot, timestamp, and the newest root last, because
the root before it accepts what is signed now (see registry/rotation.py). Until the timestamp names the new snapshot
nobody reads what stands before it, so a publisher may die after any write; the next one takes up the files that
already say what it wants. Version numbers go on from what is stored and what was ever given (versions.py), and no
device sees one twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from components.workspace import Workspace
from components.workspace.errors import Conflict, NotFound, VerificationFailed
from registry import trust
from registry.contract.times import utc_now
from registry.keys import no_keys, signer_of
from registry.repository import metadata, versions
from registry.repository.store import Store, open_store

_VERSIONED = re.compile(r"(\d+)\.(.+)\.json")
_TIMESTAMP = "metadata/timestamp.json"


def publish(
    workspace: Workspace,
    fleets: Mapping[str, Mapping[str, bytes]],
    releases: bytes | None,
    *,
    now: datetime | None = None,
    store: Store | None = None,
) -> tuple[str, ...]:
    """Make the repository say exactly this; returns the roles that were signed or written, none when it already does.

    ``fleets``: fleet -> path -> bytes of every manifest; ``releases``: the metadata file that persons signed.

    Raises:
        NotFound: the workspace has no keys, or not the online ones.
        Conflict: another publisher was first.
    """
    store = store or open_store(workspace)
    with store.lock():
        for manifests in fleets.values():
            for path, target in metadata.manifest_targets(manifests).items():
                store.create(metadata.stored_name(path, target.hashes["sha256"]), manifests[path])
        wanted = {f: metadata.manifest_targets(m) for f, m in fleets.items()}
        return _Publication(workspace, store, now or utc_now()).run(wanted, releases)


def refresh_expiring(workspace: Workspace, *, now: datetime | None = None) -> tuple[str, ...]:
    """Sign anew what nears its expiry, as it stands, with the online keys; returns these roles. Changes no release."""
    store = open_store(workspace)
    if store.read(_TIMESTAMP) is None:
        return ()
    with store.lock():
        return _Publication(workspace, store, now or utc_now()).run({}, None)


def expiring_offline(workspace: Workspace, *, now: datetime | None = None) -> tuple[str, ...]:
    """Published roles past half of their lifetime that only persons can sign anew."""
    return _Publication(workspace, open_store(workspace), now or utc_now()).stale()


def upload_artefact(workspace: Workspace, sha256: str, data: bytes, *, store: Store | None = None) -> None:
    """Lay an artefact down where devices will fetch it. None does before the `releases` role lists it."""
    store = store or open_store(workspace)
    with store.lock():
        store.create(metadata.stored_name(metadata.artefact_path(sha256), sha256), data)


class _Publication:
    """One walk through the roles; ``versions`` and ``files`` hold what the walk has reached."""

    def __init__(self, workspace: Workspace, store: Store, now: datetime) -> None:
        root, top = trust.newest_root(workspace), trust.newest_targets(workspace)
        if root is None or top is None:
            raise no_keys(workspace)
        self._workspace, self._store, self._now = workspace, store, now
        self._root, self._top = root, top
        self._stored, self._given = _newest_versions(store), versions.given(workspace)
        self._versions: dict[str, int] = {}
        self._written: list[str] = []

    def run(self, fleets: Mapping[str, Mapping[str, TargetFile]], releases: bytes | None) -> tuple[str, ...]:
        """A fleet or the releases that are not given stay as they are stored."""
        newest = f"{self._root.signed.version}.root.json"
        self._copy_trust(Root.type, without=newest)
        self._copy_trust(Targets.type)
        self._releases(releases)
        roles = (self._top.signed.delegations.roles or {}) if self._top.signed.delegations else {}
        known = [r.removeprefix("fleet-") for r in roles if r.startswith("fleet-")]
        if strange := sorted(set(fleets) - set(known)):
            raise NotFound(f"fleet '{strange[0]}' has no key", hint="muster keys init adds the keys of new fleets")
        for fleet in known:
            self._fleet(f"fleet-{fleet}", fleets.get(fleet))
        self._timestamp(*self._snapshot())
        self._copy_trust(Root.type)
        return tuple(self._written)

    def stale(self) -> tuple[str, ...]:
        """Offline roles past half of their lifetime."""
        releases = self._read("releases", Targets)
        held = {"root": self._root.signed, "targets": self._top.signed} | ({"releases": releases.signed} if releases else {})
        return tuple(role for role, signed in held.items() if not trust.is_fresh(role, signed, self._now))

    def _copy_trust(self, role: str, *, without: str = "") -> None:
        files = trust.files_of(self._workspace, role)
        present = set(self._store.names("metadata"))
        for file in files:
            if file.name not in present and file.name != without:
                self._write(role, file.name, file.read_bytes())
        newest = int(files[-1].name.partition(".")[0])
        if self._stored.get(role, 0) > newest:
            raise Conflict(f"the repository has newer {role} metadata than this workspace", hint="copy it to .muster/trust")
        if role == Targets.type:
            self._versions[role] = newest

    def _releases(self, signed: bytes | None) -> None:
        stored = self._stored.get("releases", 0)
        version = Metadata[Targets].from_bytes(signed).signed.version if signed else stored
        if version < stored:
            raise Conflict(f"releases version {stored} is published already, {version} is older", hint="look at release list")
        if signed and version > stored:
            self._write("releases", f"{version}.releases.json", signed)
        if version:
            self._versions["releases"] = version

    def _fleet(self, role: str, wanted: Mapping[str, TargetFile] | None) -> None:
        stored = self._read(role, Targets)
        listed = dict(stored.signed.targets if stored and wanted is None else wanted or {})
        if stored and stored.signed.targets == listed and self._is_good(role, stored):
            self._versions[role] = stored.signed.version
        else:
            self._sign(role, metadata.targets(role, self._next(role), listed, self._now))

    def _snapshot(self) -> tuple[int, bytes]:
        stored = self._read("snapshot", Snapshot)
        fresh = metadata.snapshot(self._next("snapshot"), self._versions, self._now)
        if stored and stored.signed.meta == fresh.signed.meta and self._is_good("snapshot", stored):
            version = stored.signed.version
            return version, self._store.read(f"metadata/{version}.snapshot.json") or b""
        return fresh.signed.version, self._sign("snapshot", fresh)

    def _timestamp(self, version: int, snapshot: bytes) -> None:
        data = self._store.read(_TIMESTAMP)
        stored = _parse(data, Timestamp)
        if data and not stored:
            raise VerificationFailed(f"the published {_TIMESTAMP} does not parse", hint="put back the last good copy of it")
        if stored and stored.signed.snapshot_meta == metadata.pin(version, snapshot) and self._is_good("timestamp", stored):
            self._remember(version, stored.signed.version)
            return
        number = max(stored.signed.version if stored else 0, self._given.get("timestamp", 0)) + 1
        fresh = metadata.timestamp(number, snapshot, version, self._now)
        self._seal("timestamp", fresh)
        self._remember(version, number)
        self._store.replace(_TIMESTAMP, trust.to_bytes(fresh), data)
        self._written.append("timestamp")

    def _remember(self, snapshot: int, timestamp: int) -> None:
        """Before devices can see them. The versions of other delegated roles come from persons."""
        fleets = {role: version for role, version in self._versions.items() if role.startswith("fleet-")}
        versions.remember(self._workspace, fleets | {"snapshot": snapshot, "timestamp": timestamp})

    def _next(self, role: str) -> int:
        return max(self._stored.get(role, 0), self._given.get(role, 0)) + 1

    def _sign(self, role: str, fresh: Metadata[Any]) -> bytes:
        self._seal(role, fresh)
        data = trust.to_bytes(fresh)
        self._versions[role] = fresh.signed.version
        self._write(role, f"{fresh.signed.version}.{role}.json", data)
        return data

    def _seal(self, role: str, fresh: Metadata[Any]) -> None:
        """Sign with the role's key, and make sure that devices trust it."""
        fresh.sign(signer_of(self._workspace, role))
        if not self._is_good(role, fresh):
            raise VerificationFailed(
                f"the key of '{role}' here is not the one that devices trust",
                hint=f"muster keys rotate {role}, or fetch the right key",
            )

    def _write(self, role: str, name: str, data: bytes) -> None:
        self._store.create(f"metadata/{name}", data)
        self._written.append(role)

    def _read(self, role: str, kind: type[Any]) -> Metadata[Any] | None:
        version = self._stored.get(role)
        return _parse(self._store.read(f"metadata/{version}.{role}.json"), kind) if version else None

    def _is_good(self, role: str, stored: Metadata[Any]) -> bool:
        """Signed by the key that counts now, and not near its expiry."""
        delegator: Root | Targets = self._root.signed if role in self._root.signed.roles else self._top.signed
        result = delegator.get_verification_result(role, stored.signed_bytes, stored.signatures)
        return bool(result.verified) and trust.is_fresh(role, stored.signed, self._now)


def _newest_versions(store: Store) -> dict[str, int]:
    """Role -> highest stored version."""
    found: dict[str, int] = {}
    for name in store.names("metadata"):
        if match := _VERSIONED.fullmatch(name):
            found[match[2]] = max(found.get(match[2], 0), int(match[1]))
    return found


def _parse(data: bytes | None, kind: type[Any]) -> Metadata[Any] | None:
    """None for what is not there or does not parse: it is written anew under the next version."""
    try:
        parsed: Metadata[Any] | None = Metadata.from_bytes(data) if data else None
    except RepositoryError:
        return None
    return parsed if parsed and isinstance(parsed.signed, kind) else None
