"""Sign and write what changed, so that every reader sees the old repository or the new one.

Order: target files, those new roots that accept what is published, targets, releases, fleets, snapshot, timestamp, and
the other roots last, because those before them accept what is signed now (see registry/keys/rotation.py). Until the
timestamp names the new snapshot nobody reads what stands before it, so a publisher may die after any write; the next one
takes up the files that already say what it wants. Version numbers go on from what is stored and what was ever given
(versions.py), and no device sees one twice.

The timestamp is replaced only if it is still the one that was there before the log was read. So whatever is published
was decided after all that is published already, however many publish at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from components.workspace import Workspace
from components.workspace.errors import Conflict, NotFound, VerificationFailed
from registry import trust
from registry.contract.times import utc_now
from registry.database import open_database, reading
from registry.keys import no_keys, signer_of
from registry.repository import metadata, roots, versions
from registry.repository.store import Store, create_all, open_store

_VERSIONED = re.compile(r"(\d+)\.(.+)\.json")


@dataclass(frozen=True)
class InForce:
    """The `releases` metadata that persons signed last; ``read`` gives its file, where the repository lacks it."""

    version: int
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Basis:
    """The timestamp that a publisher found before it looked at what it is to publish."""

    timestamp: bytes | None


def look(store: Store) -> Basis:
    return Basis(store.read(metadata.TIMESTAMP))


def publish(
    workspace: Workspace,
    fleets: Mapping[str, Mapping[str, bytes]],
    releases: InForce | None,
    *,
    now: datetime | None = None,
    store: Store | None = None,
    basis: Basis | None = None,
    alone: bool = False,
    dry_run: bool = False,
) -> tuple[str, ...]:
    """Make the repository say exactly this; returns the roles that were signed or written, none when it already does.

    ``fleets``: fleet -> path -> bytes of every manifest. A fleet that is not given stays as it is published, and is signed
    anew where it nears its expiry; with ``alone`` it is not even read. ``basis``: what `look` found before ``fleets`` were
    read. ``dry_run``: no version counts as given (``store`` is an overlay).

    Raises:
        NotFound: the workspace has no keys, or not the online ones.
        Overtaken: another publisher was first.
        Conflict: the repository has newer metadata of what persons sign than this workspace.
    """
    store = store or open_store(workspace)
    with store.lock(), _begun(workspace, store, now, basis or look(store), dry_run=dry_run) as walk:
        wanted = {f: metadata.manifest_targets(m) for f, m in fleets.items()}
        _lay_down(store, fleets, wanted)
        return walk.run(wanted, releases, alone=alone)


def unpublished_roots(workspace: Workspace) -> tuple[str, ...]:
    """Files of the roots that devices cannot find yet; none before the first publication, when no device looks."""
    names = set(open_store(workspace).names("metadata"))
    return tuple(f.name for f in trust.files_of(workspace, Root.type) if f.name not in names) if names else ()


def refresh_expiring(workspace: Workspace, *, now: datetime | None = None) -> tuple[str, ...]:
    """Sign anew what nears its expiry, as it is published, with the online keys; returns these roles. Changes no release."""
    store = open_store(workspace)
    with store.lock():
        basis = look(store)
        if basis.timestamp is None:
            return ()
        with _begun(workspace, store, now, basis) as walk:
            return walk.run({}, None)


def expiring_offline(workspace: Workspace, *, now: datetime | None = None) -> tuple[str, ...]:
    """Published roles past half of their lifetime that only persons can sign anew."""
    store = open_store(workspace)
    with _begun(workspace, store, now, look(store)) as walk:
        return walk.stale()


def upload_artefact(workspace: Workspace, sha256: str, data: bytes, *, store: Store | None = None) -> None:
    """Lay an artefact down where devices will fetch it. None does before the `releases` role lists it."""
    store = store or open_store(workspace)
    with store.lock():
        store.create(metadata.stored_name(metadata.artefact_path(sha256), sha256), data)


@contextmanager
def _begun(
    workspace: Workspace, store: Store, now: datetime | None, basis: Basis, *, dry_run: bool = False
) -> Iterator[_Publication]:
    """A connection stays open to the end: the last one to close makes SQLite fold its write-ahead log into the file."""
    engine = open_database(workspace.database_url)
    with reading(engine) as connection:
        numbers = versions.given(connection)
        yield _Publication(workspace, store, now or utc_now(), basis, numbers, None if dry_run else engine)


def _lay_down(store: Store, fleets: Mapping[str, Mapping[str, bytes]], wanted: Mapping[str, Mapping[str, TargetFile]]) -> None:
    """Manifests that are not there yet. Their names have their digests, so one that is there is the right one."""
    folders = [f"targets/fleets/{f}" for f in fleets] if len(fleets) <= 1 else ["targets/fleets"]
    present = {name for folder in folders for name in store.below(folder)}
    files = {
        metadata.stored_name(path, target.hashes["sha256"]): fleets[fleet][path]
        for fleet, listed in wanted.items()
        for path, target in listed.items()
    }
    create_all(store, {name: data for name, data in files.items() if name not in present})


class _Publication:
    """One walk through the roles; ``_versions`` and ``_written`` hold what the walk has reached.

    ``given``: role -> version; ``remembering``: where those that are given now are kept, if anywhere.
    """

    def __init__(
        self,
        workspace: Workspace,
        store: Store,
        now: datetime,
        basis: Basis,
        given: Mapping[str, int],
        remembering: sa.Engine | None,
    ) -> None:
        root, top = trust.newest_root(workspace), trust.newest_targets(workspace)
        if root is None or top is None:
            raise no_keys(workspace)
        self._workspace, self._store, self._now, self._remembering = workspace, store, now, remembering
        self._days = workspace.settings.registry.valid_days.model_dump()
        self._root, self._top = root, top
        self._basis = basis.timestamp
        self._names = set(store.names("metadata"))
        self._stored, self._given = _newest_versions(self._names), given
        self._shot = self._published_snapshot()
        self._published = _versions_in(self._shot)
        self._versions: dict[str, int] = {}
        self._written: list[str] = []

    def run(
        self, fleets: Mapping[str, Mapping[str, TargetFile]], releases: InForce | None, *, alone: bool = False
    ) -> tuple[str, ...]:
        """A fleet or the releases that are not given stay as they are published."""
        self._copy_trust(Root.type, without=self._later_roots())
        self._copy_trust(Targets.type)
        self._releases(releases)
        roles = (self._top.signed.delegations.roles or {}) if self._top.signed.delegations else {}
        known = [r.removeprefix("fleet-") for r in roles if r.startswith("fleet-")]
        if strange := sorted(set(fleets) - set(known)):
            raise NotFound(f"fleet '{strange[0]}' has no key", hint="muster keys init adds the keys of new fleets")
        # Another fleet's key may be a new one since: then each is looked at.
        alone = alone and self._published.get(Targets.type) == self._top.signed.version
        fresh: dict[str, bytes] = {}
        for fleet in known:
            role = f"fleet-{fleet}"
            if alone and fleet not in fleets and role in self._published:
                self._versions[role] = self._published[role]
            else:
                fresh |= self._fleet(role, fleets.get(fleet))
        create_all(self._store, fresh)
        self._timestamp(*self._snapshot())
        self._copy_trust(Root.type)
        return tuple(self._written)

    def stale(self) -> tuple[str, ...]:
        """Offline roles past half of their lifetime."""
        releases = self._read("releases", Targets, self._stored.get("releases", 0))
        held = {"root": self._root.signed, "targets": self._top.signed} | ({"releases": releases.signed} if releases else {})
        return tuple(role for role, signed in held.items() if not trust.is_fresh(role, signed, self._now))

    def _published_snapshot(self) -> tuple[Metadata[Snapshot], bytes] | None:
        """What devices read now; None where its signatures do not count."""
        stamp = metadata.parse(self._basis, Timestamp)
        if stamp is None or not self._is_signed(Timestamp.type, stamp):
            return None
        pin = stamp.signed.snapshot_meta
        data = self._store.read(f"metadata/{pin.version}.snapshot.json")
        shot = metadata.parse(data, Snapshot)
        if data is None or shot is None or metadata.pin(pin.version, data) != pin or not self._is_signed(Snapshot.type, shot):
            return None
        return shot, data

    def _later_roots(self) -> tuple[str, ...]:
        new = {f.name: f.read_bytes() for f in trust.files_of(self._workspace, Root.type) if f.name not in self._names}
        return roots.for_later(new, roots.signed_for(self._store, self._basis)) if new else ()

    def _copy_trust(self, role: str, *, without: Collection[str] = ()) -> None:
        files = trust.files_of(self._workspace, role)
        for file in files:
            if file.name not in self._names and file.name not in without:
                self._write(role, file.name, file.read_bytes())
        newest = int(files[-1].name.partition(".")[0])
        if self._stored.get(role, 0) > newest:
            raise Conflict(f"the repository has newer {role} metadata than this workspace", hint="copy it to .muster/trust")
        if role == Targets.type:
            self._versions[role] = newest

    def _releases(self, signed: InForce | None) -> None:
        stored = self._stored.get("releases", 0)
        if signed is None:
            version = self._published.get("releases", stored)
        elif signed.version < stored:
            raise Conflict(
                f"releases version {stored} is published already, {signed.version} is older", hint="look at release list"
            )
        else:
            version = signed.version
            if version > stored:
                self._write("releases", f"{version}.releases.json", signed.read())
        if version:
            self._versions["releases"] = version

    def _fleet(self, role: str, wanted: Mapping[str, TargetFile] | None) -> dict[str, bytes]:
        """The file to write; none where what is published, or what a publisher that died left, is what is wanted."""
        newest = self._stored.get(role, 0)
        published = self._published.get(role, newest)
        listed = wanted
        for version in sorted({published, newest} if wanted is not None else {published}):
            stored = self._read(role, Targets, version)
            if listed is None and stored:
                listed = stored.signed.targets
            if stored and stored.signed.targets == listed and self._is_good(role, stored):
                self._versions[role] = version
                return {}
        listed = listed or {}
        fresh = metadata.targets(role, self._next(role), listed, self._now, self._days)
        self._seal(role, fresh)
        self._versions[role] = fresh.signed.version
        self._written.append(role)
        return {f"metadata/{fresh.signed.version}.{role}.json": trust.to_bytes(fresh)}

    def _snapshot(self) -> tuple[int, bytes]:
        """As `_fleet`."""
        fresh = metadata.snapshot(self._next("snapshot"), self._versions, self._now, self._days)
        for shot in filter(None, (self._shot, self._newest_snapshot())):
            if shot[0].signed.meta == fresh.signed.meta and self._is_good("snapshot", shot[0]):
                return shot[0].signed.version, shot[1]
        return fresh.signed.version, self._sign("snapshot", fresh)

    def _newest_snapshot(self) -> tuple[Metadata[Snapshot], bytes] | None:
        newest = self._stored.get("snapshot")
        if newest is None or (self._shot and self._shot[0].signed.version == newest):
            return None
        data = self._store.read(f"metadata/{newest}.snapshot.json")
        shot = metadata.parse(data, Snapshot)
        return (shot, data) if shot and data else None

    def _timestamp(self, version: int, snapshot: bytes) -> None:
        data = self._basis
        stored = metadata.parse(data, Timestamp)
        if data and not stored:
            raise VerificationFailed(
                f"the published {metadata.TIMESTAMP} does not parse", hint="put back the last good copy of it"
            )
        if stored and stored.signed.snapshot_meta == metadata.pin(version, snapshot) and self._is_good("timestamp", stored):
            self._remember(version, stored.signed.version)
            return
        # A version under a key that does not count any more may be a thief's; devices have forgotten it.
        seen = stored.signed.version if stored and self._is_signed("timestamp", stored) else 0
        number = max(seen, self._given.get("timestamp", 0)) + 1
        fresh = metadata.timestamp(number, snapshot, version, self._now, self._days)
        self._seal("timestamp", fresh)
        self._remember(version, number)
        self._store.replace(metadata.TIMESTAMP, trust.to_bytes(fresh), data)
        self._written.append("timestamp")

    def _remember(self, snapshot: int, timestamp: int) -> None:
        """Before devices can see them. The versions of other delegated roles come from persons."""
        if self._remembering is None:
            return
        reached = {r: v for r, v in self._versions.items() if r.startswith("fleet-")} | {
            Snapshot.type: snapshot,
            Timestamp.type: timestamp,
        }
        if any(version > self._given.get(role, 0) for role, version in reached.items()):
            versions.remember(self._remembering, reached)

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
        delegator = self._delegator(role)
        trust.sign(fresh, signer_of(self._workspace, role, trust.key_under(delegator, role)))
        if not self._is_good(role, fresh):
            raise VerificationFailed(
                f"the key of '{role}' here is not the one that devices trust",
                hint=f"muster keys rotate {role}, or fetch the right key",
            )

    def _write(self, role: str, name: str, data: bytes) -> None:
        self._store.create(f"metadata/{name}", data)
        self._names.add(name)
        self._written.append(role)

    def _read(self, role: str, kind: type[Any], version: int) -> Metadata[Any] | None:
        return metadata.parse(self._store.read(f"metadata/{version}.{role}.json"), kind) if version else None

    def _is_good(self, role: str, stored: Metadata[Any]) -> bool:
        """Signed by the key that counts now, and not near its expiry."""
        return self._is_signed(role, stored) and trust.is_fresh(role, stored.signed, self._now, self._days)

    def _is_signed(self, role: str, stored: Metadata[Any]) -> bool:
        found = self._delegator(role).get_verification_result(role, stored.signed_bytes, stored.signatures)
        return bool(found.verified)

    def _delegator(self, role: str) -> Root | Targets:
        return self._root.signed if role in self._root.signed.roles else self._top.signed


def _versions_in(shot: tuple[Metadata[Snapshot], bytes] | None) -> dict[str, int]:
    """Role -> version."""
    return {n.removesuffix(".json"): m.version for n, m in shot[0].signed.meta.items()} if shot else {}


def _newest_versions(names: Iterable[str]) -> dict[str, int]:
    """Role -> highest stored version."""
    found: dict[str, int] = {}
    for name in names:
        if match := _VERSIONED.fullmatch(name):
            found[match[2]] = max(found.get(match[2], 0), int(match[1]))
    return found
