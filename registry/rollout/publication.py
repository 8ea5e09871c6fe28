"""The reconciler: what the log says is offered becomes what the repository says, never the other way round.

Idempotent: run it after any crash, and it publishes what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from securesystemslib.signer import Signature
from tuf.api.metadata import Metadata, Targets

from components.workspace import Workspace
from components.workspace.errors import VerificationFailed
from registry import trust
from registry.contract.manifest import manifest_path
from registry.database import open_database, publications, reading, role_versions
from registry.repository import publish
from registry.repository.metadata import manifest_targets, stored_name
from registry.repository.store import Store, open_store
from registry.rollout import events
from registry.rollout.documents import kept
from registry.rollout.manifests import manifest_of
from registry.rollout.query import list_releases
from registry.rollout.release import Release, replay


def reconcile(workspace: Workspace, *, now: datetime | None = None, store: Store | None = None) -> tuple[str, ...]:
    """Publish what the log says; returns the roles that were written, none when the repository already says it.

    Raises:
        NotFound: keys are missing here.
        Conflict: another publisher was first.
    """
    with reading(open_database(workspace.database_url)) as connection:
        fleets = _manifests(connection, [f.name for f in workspace.settings.fleets])
        releases = in_force(connection)
    return publish(workspace, fleets, trust.to_bytes(releases) if releases else None, now=now, store=store)


def verify(workspace: Workspace) -> tuple[Release, ...]:
    """Check every release's hash chain, and that the repository holds what the log gives: manifests, and what persons signed.

    Raises:
        VerificationFailed: the log was changed, or a published file is missing or differs.
    """
    found = tuple(list_releases(workspace))
    with reading(open_database(workspace.database_url)) as connection:
        fleets = _manifests(connection, [f.name for f in workspace.settings.fleets])
        releases = in_force(connection)
    wanted = {f"metadata/{releases.signed.version}.releases.json": trust.to_bytes(releases)} if releases else {}
    for manifests in fleets.values():
        for path, target in manifest_targets(manifests).items():
            wanted[stored_name(path, target.hashes["sha256"])] = manifests[path]
    store = open_store(workspace)
    if wrong := [name for name, data in wanted.items() if store.read(name) != data]:
        raise VerificationFailed(
            f"the repository does not hold {wrong[0]} as the log gives it",
            hint="muster release publish puts back what is missing; what differs was changed by someone else",
        )
    return found


def in_force(connection: sa.Connection) -> Metadata[Targets] | None:
    """The `releases` metadata that persons signed last, with their signatures; None before the first release."""
    query = sa.select(role_versions).where(role_versions.c.role == "releases").order_by(role_versions.c.version.desc())
    row = connection.execute(query).first()
    if row is None:
        return None
    release = replay(events.read(connection, row.release_id))
    body = kept(connection, release.proposal.digest) if release.proposal else None
    if body is None:
        raise VerificationFailed(
            f"what was signed for release '{release.id}' is missing or changed",
            hint="restore the registry database from a backup",
        )
    metadata = Metadata[Targets].from_bytes(body)
    for approval in release.approvals:
        metadata.signatures[approval.keyid] = Signature(approval.keyid, approval.signature)
    return metadata


def _manifests(connection: sa.Connection, fleets: Iterable[str]) -> dict[str, dict[str, bytes]]:
    """Fleet -> path -> bytes of the manifest in force of every variant that was ever offered something."""
    found: dict[str, dict[str, bytes]] = {f: {} for f in fleets}
    cache: dict[str, Release] = {}
    query = sa.select(publications).order_by(publications.c.fleet, publications.c.variant, publications.c.sequence)
    for row in connection.execute(query).all():
        if row.fleet in found:
            if row.release_id not in cache:
                cache[row.release_id] = replay(events.read(connection, row.release_id))
            release = cache[row.release_id]
            found[row.fleet][manifest_path(row.fleet, row.variant)] = manifest_of(release, release.offer(row.variant)).to_bytes()
    return found
