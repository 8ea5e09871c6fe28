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
from components.workspace.errors import Conflict, VerificationFailed
from registry import trust
from registry.contract.manifest import manifest_path
from registry.database import open_database, publications, reading, role_versions
from registry.keys import require_keys
from registry.repository import publish
from registry.repository.store import Store, open_store
from registry.rollout import events
from registry.rollout.documents import kept
from registry.rollout.manifests import manifest_of
from registry.rollout.release import Offer, Release, replay
from registry.rollout.restoring import restore_artefacts


def reconcile(workspace: Workspace, *, now: datetime | None = None, store: Store | None = None) -> tuple[str, ...]:
    """Publish what the log says; returns the roles and artefacts that were written, none when the repository already says it.

    An artefact that the repository lost is fetched from the model registry. One that cannot be had stops nothing else:
    all the rest is published before the error.

    Raises:
        NotFound: keys are missing here, or an artefact is in neither place.
        VerificationFailed: the model registry has other bytes than those that were released.
        Conflict: another publisher was first, or the repository offers releases that this log knows nothing of.
    """
    require_keys(workspace)
    store = store or open_store(workspace)
    with reading(open_database(workspace.database_url)) as connection:
        live = offered(connection, [f.name for f in workspace.settings.fleets])
        releases = in_force(connection)
    refuse_to_forget(store, releases)
    restored, failed = restore_artefacts(workspace, [o for fleet in live.values() for o in fleet], store)
    fleets = {fleet: manifests_of(offers) for fleet, offers in live.items()}
    written = publish(workspace, fleets, trust.to_bytes(releases) if releases else None, now=now, store=store)
    if failed:
        raise type(failed[0])(
            "\n".join(f.message for f in failed), hint="everything else is published; restore these files from a backup"
        )
    return written + restored


def refuse_to_forget(store: Store, releases: Metadata[Targets] | None) -> None:
    """An empty log beside a repository that offers releases is a lost log: publishing it would withdraw them all."""
    if releases is None and any(name.endswith(".releases.json") for name in store.names("metadata")):
        raise Conflict(
            "the repository offers releases that the registry's log knows nothing of: the log was lost, or is another one",
            hint="restore the registry database from its backup, or name an empty repository in registry.repository",
        )


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


def offered(connection: sa.Connection, fleets: Iterable[str]) -> dict[str, list[tuple[Release, Offer]]]:
    """Fleet -> what is in force for every variant that was ever offered something."""
    found: dict[str, list[tuple[Release, Offer]]] = {f: [] for f in fleets}
    cache: dict[str, Release] = {}
    same = (publications.c.fleet, publications.c.variant)
    last = sa.select(*same, sa.func.max(publications.c.sequence).label("sequence")).group_by(*same).subquery()
    query = sa.select(publications).join(
        last,
        (publications.c.fleet == last.c.fleet)
        & (publications.c.variant == last.c.variant)
        & (publications.c.sequence == last.c.sequence),
    )
    for row in connection.execute(query.order_by(*same)).all():
        if row.fleet in found:
            if row.release_id not in cache:
                cache[row.release_id] = replay(events.read(connection, row.release_id))
            release = cache[row.release_id]
            found[row.fleet].append((release, release.offer(row.variant)))
    return found


def manifests_of(offers: Iterable[tuple[Release, Offer]]) -> dict[str, bytes]:
    """Path -> bytes of the manifest that devices are to find there."""
    return {manifest_path(release.fleet, offer.variant): manifest_of(release, offer).to_bytes() for release, offer in offers}
