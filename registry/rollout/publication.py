"""The reconciler: what the log says is offered becomes what the repository says, never the other way round.

Idempotent: run it after any crash, and it publishes what is missing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from securesystemslib.signer import Signature
from tuf.api.metadata import Metadata, Targets

from components.workspace import Workspace
from components.workspace.errors import Conflict, MusterError, VerificationFailed
from registry import trust
from registry.contract.manifest import manifest_path
from registry.database import open_database, publications, reading, renewals, role_versions
from registry.keys import require_keys
from registry.repository import InForce, Overtaken, look, mirror, publish
from registry.repository.store import Overlay, Store, open_store
from registry.rollout import events
from registry.rollout.documents import kept
from registry.rollout.manifests import manifest_of
from registry.rollout.release import Offer, Release
from registry.rollout.replaying import replay
from registry.rollout.restoring import restore_artefacts

_ATTEMPTS = 32
_PAUSE_S = 0.05
"""Each time that a publisher is overtaken another one got through, so that few attempts serve many publishers."""


@dataclass(frozen=True)
class Rehearsal:
    """What would be signed or put back, and the files that would be written."""

    roles: tuple[str, ...]
    files: tuple[str, ...]


def reconcile(
    workspace: Workspace,
    *,
    fleet: str | None = None,
    now: datetime | None = None,
    store: Store | None = None,
) -> tuple[str, ...]:
    """Publish what the log says; returns the roles and artefacts that were written, none when the repository already says it.

    ``fleet``: the one whose log has something new; the others stay as they are published. An artefact that the
    repository lost is fetched from the model registry. One that cannot be had stops nothing else: all the rest is published
    before the error. When another publisher is first, the log is read again, and published on top of what that one wrote.

    Raises:
        NotFound: keys are missing here, or an artefact is in neither place.
        VerificationFailed: the model registry has other bytes than those that were released.
        Conflict: other publishers were first, again and again, or the repository offers releases that this log knows nothing
            of.
    """
    require_keys(workspace)
    store = store or open_store(workspace)
    for again in range(_ATTEMPTS):
        try:
            with store.lock():
                written = _publish(workspace, store, fleet, now, dry_run=False)
            break
        except Overtaken:
            if again == _ATTEMPTS - 1:
                raise
            time.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311 - keeps publishers apart, no secret
    return written


def publish_decided(workspace: Workspace, release: Release, what: str, now: datetime) -> None:
    """Publish what the log has of a release already: a repository that cannot be written now is written later.

    Raises:
        MusterError: as `reconcile`, and that ``what`` was done.
    """
    try:
        reconcile(workspace, fleet=release.fleet, now=now)
    except MusterError as error:
        raise type(error)(
            f"release '{release.id}' {what}, but not published yet: {error.message}",
            hint=f"{error.hint}; then muster release publish" if error.hint else "muster release publish",
        ) from error


def rehearse(workspace: Workspace, places: Sequence[str] = (), *, now: datetime | None = None) -> Rehearsal:
    """What `reconcile` would write now, and then `mirror` to ``places``. Writes and remembers nothing.

    Raises:
        NotFound, VerificationFailed, Conflict: as they do.
    """
    require_keys(workspace)
    overlay = Overlay(open_store(workspace))
    roles = _publish(workspace, overlay, None, now, dry_run=True)
    files = tuple(sorted(overlay.files))
    for place in places:
        there = Overlay(open_store(workspace, place))
        mirror(workspace, overlay, there)
        files += tuple(f"{place}/{name}" for name in sorted(there.files))
    return Rehearsal(roles, files)


def _publish(workspace: Workspace, store: Store, fleet: str | None, now: datetime | None, *, dry_run: bool) -> tuple[str, ...]:
    basis = look(store)
    # The connection stays open to the end: the last one to close makes SQLite fold its write-ahead log into the file.
    with reading(open_database(workspace.database_url)) as connection:
        live = offered(connection, [fleet] if fleet else [f.name for f in workspace.settings.fleets])
        version = _version_in_force(connection)
        refuse_to_forget(store, version)
        restored, failed = restore_artefacts(workspace, [o for offers in live.values() for o in offers], store)
        fleets = {name: manifests_of(offers) for name, offers in live.items()}
        releases = InForce(version, lambda: _file_in_force(connection)) if version else None
        alone = fleet is not None
        if releases and not alone:
            releases.read()  # whether persons' signatures are still what they were is asked even where they are published
        written = publish(workspace, fleets, releases, now=now, store=store, basis=basis, alone=alone, dry_run=dry_run)
    if failed:
        raise type(failed[0])(
            "\n".join(f.message for f in failed), hint="everything else is published; restore these files from a backup"
        )
    return written + restored


def refuse_to_forget(store: Store, version: int | None) -> None:
    """An empty log beside a repository that offers releases is a lost log: publishing it would withdraw them all."""
    if version is None and any(name.endswith(".releases.json") for name in store.names("metadata")):
        raise Conflict(
            "the repository offers releases that the registry's log knows nothing of: the log was lost, or is another one",
            hint="restore the registry database from its backup, or name an empty repository in registry.repository",
        )


def _version_in_force(connection: sa.Connection) -> int | None:
    query = sa.select(sa.func.max(role_versions.c.version)).where(role_versions.c.role == "releases")
    return connection.scalar(query)


def _file_in_force(connection: sa.Connection) -> bytes:
    found = in_force(connection)
    if found is None:
        raise VerificationFailed("the log has lost its releases", hint="restore the registry database from a backup")
    return trust.to_bytes(found)


def in_force(connection: sa.Connection) -> Metadata[Targets] | None:
    """The `releases` metadata that persons signed last, with their signatures; None before the first release."""
    query = sa.select(role_versions).where(role_versions.c.role == "releases").order_by(role_versions.c.version.desc())
    row = connection.execute(query).first()
    if row is None:
        return None
    if row.release_id is None:
        digest, what = row.digest, f"version {row.version} of what is released"
        signed = connection.execute(sa.select(renewals.c.keyid, renewals.c.signature).where(renewals.c.digest == digest))
        signatures = [Signature(s.keyid, s.signature) for s in signed.all()]
    else:
        release = replay(events.read(connection, row.release_id))
        digest, what = release.proposal.digest if release.proposal else "", f"release '{release.id}'"
        signatures = [Signature(a.keyid, a.signature) for a in release.approvals]
    body = kept(connection, digest)
    if body is None:
        raise VerificationFailed(
            f"what was signed for {what} is missing or changed", hint="restore the registry database from a backup"
        )
    metadata = Metadata[Targets].from_bytes(body)
    metadata.signatures |= {s.keyid: s for s in signatures}
    return metadata


def offered(connection: sa.Connection, fleets: Iterable[str]) -> dict[str, list[tuple[Release, Offer]]]:
    """Fleet -> what is in force for every variant that was ever offered something."""
    found: dict[str, list[tuple[Release, Offer]]] = {f: [] for f in fleets}
    cache: dict[str, Release] = {}
    same = (publications.c.fleet, publications.c.variant)
    newest = sa.func.max(publications.c.sequence).label("sequence")
    last = sa.select(*same, newest).where(publications.c.fleet.in_(found)).group_by(*same).subquery()
    query = sa.select(publications).join(
        last,
        (publications.c.fleet == last.c.fleet)
        & (publications.c.variant == last.c.variant)
        & (publications.c.sequence == last.c.sequence),
    )
    for row in connection.execute(query.order_by(*same)).all():
        if row.release_id not in cache:
            cache[row.release_id] = replay(events.read(connection, row.release_id))
        release = cache[row.release_id]
        found[row.fleet].append((release, release.offer(row.variant)))
    return found


def manifests_of(offers: Iterable[tuple[Release, Offer]]) -> dict[str, bytes]:
    """Path -> bytes of the manifest that devices are to find there."""
    return {manifest_path(release.fleet, offer.variant): manifest_of(release, offer).to_bytes() for release, offer in offers}
