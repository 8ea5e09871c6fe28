"""Sign what is released anew: the same artefacts under the next version, with a fresh expiry.

Two persons do it before the `releases` metadata expires, and when persons or their keys change: what is released has to
be signed by two of those who count afterwards (staffing.py). Devices may run what they could run before, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from securesystemslib.signer import Signature, Signer
from tuf.api.metadata import Metadata, Targets
from tuf.api.serialization.json import JSONSerializer

from components.workspace import Workspace
from components.workspace.errors import Conflict, NotFound, VerificationFailed
from components.workspace.files import sha256_bytes
from registry import trust
from registry.contract.times import stamp, utc_now
from registry.database import open_database, rehearsing, renewals, role_versions, writing
from registry.keys import no_keys, signer_of
from registry.keys.custody import is_here, spare_signer
from registry.repository.metadata import targets
from registry.rollout.documents import keep, kept
from registry.rollout.publication import in_force, reconcile

_ROLE = "releases"


@dataclass(frozen=True)
class Renewal:
    """``persons``: who have signed this version; ``in_force``: enough of them."""

    version: int
    digest: str
    persons: tuple[str, ...]
    needed: int
    in_force: bool


@dataclass(frozen=True)
class Pending:
    """A renewal that some have signed: the metadata with their signatures."""

    digest: str
    persons: tuple[str, ...]
    metadata: Metadata[Targets]


def renew(workspace: Workspace, person: str, reason: str, *, dry_run: bool = False, now: datetime | None = None) -> Renewal:
    """Sign with the key of ``person``, and with the one that is to follow it; with the second person's it is published.

    Raises:
        NotFound: nothing is released yet, or the person's key is not here.
        Conflict: the person has signed this version already.
        VerificationFailed: the person's key is not one of those that may release.
    """
    now = now or utc_now()
    signers = tuple(_signers(workspace, person))
    with (rehearsing if dry_run else writing)(open_database(workspace.database_url)) as connection:
        base = in_force(connection)
        if base is None:
            raise NotFound("nothing is released yet, so there is nothing to sign anew", hint="muster release draft")
        version = base.signed.version + 1
        pending = next((p for p in pending_renewals(connection, version) if _still_good(p, base, now)), None)
        body = _unsigned(pending.metadata if pending else targets(_ROLE, version, base.signed.targets, now))
        digest = sha256_bytes(body)
        signed = pending.metadata.signatures if pending else {}
        fresh = [s for s in signers if s.public_key.keyid not in signed]
        if not fresh:
            raise Conflict(f"{person} has signed version {version} already", hint="a second person has to sign it")
        keep(connection, digest, body)
        _add(connection, version, digest, person, fresh, body, reason, now)
        made = next(p for p in pending_renewals(connection, version) if p.digest == digest)
        enough = counts(trust.newest_targets(workspace), made.metadata)
        if enough:
            take_force(connection, version, digest)
    if enough and not dry_run:
        reconcile(workspace, now=now)
    return Renewal(version, digest, made.persons, trust.RELEASES_THRESHOLD, enough)


def pending_renewals(connection: sa.Connection, version: int) -> tuple[Pending, ...]:
    """What was signed for the version of `releases`, by digest. A document that was changed counts as missing."""
    query = sa.select(renewals).where(renewals.c.version == version).order_by(renewals.c.time, renewals.c.keyid)
    rows = connection.execute(query).all()
    found = []
    for digest in dict.fromkeys(row.digest for row in rows):
        body = kept(connection, digest)
        if body is None:
            continue
        metadata, mine = Metadata[Targets].from_bytes(body), [row for row in rows if row.digest == digest]
        for row in mine:
            metadata.signatures[row.keyid] = Signature(row.keyid, row.signature)
        found.append(Pending(digest, tuple(dict.fromkeys(row.person for row in mine)), metadata))
    return tuple(found)


def take_force(connection: sa.Connection, version: int, digest: str) -> None:
    """From now on this is what is released. Raises Conflict, at the end of the transaction, if a release took the version."""
    connection.execute(role_versions.insert(), {"role": _ROLE, "version": version, "release_id": None, "digest": digest})


def counts(top: Metadata[Targets] | None, releases: Metadata[Targets]) -> bool:
    """Whether devices that trust ``top`` take the metadata: two of its persons have signed."""
    if top is None:
        return False
    return bool(top.signed.get_verification_result(_ROLE, releases.signed_bytes, releases.signatures).verified)


def _signers(workspace: Workspace, person: str) -> Iterable[Signer]:
    """The person's key, and the one that is to follow it."""
    top = trust.newest_targets(workspace)
    if top is None or top.signed.delegations is None:
        raise no_keys(workspace)
    role = f"people/{person}"
    spare = spare_signer(workspace, role)
    if is_here(workspace, role) or spare is None:
        signer = signer_of(workspace, role)
        if signer.public_key.keyid not in (top.signed.delegations.roles or {})[_ROLE].keyids and spare is None:
            raise VerificationFailed(
                f"the key of '{person}' is not one of those that may release", hint="muster keys show lists them"
            )
        yield signer
    if spare is not None:
        yield spare


def _add(
    connection: sa.Connection,
    version: int,
    digest: str,
    person: str,
    signers: Iterable[Signer],
    body: bytes,
    reason: str,
    now: datetime,
) -> None:
    to_sign = Metadata[Targets].from_bytes(body).signed_bytes
    made = [signer.sign(to_sign) for signer in signers]
    same = {"version": version, "digest": digest, "person": person, "reason": reason, "time": stamp(now)}
    connection.execute(renewals.insert(), [same | {"keyid": s.keyid, "signature": s.signature} for s in made])


def _unsigned(metadata: Metadata[Targets]) -> bytes:
    return Metadata(metadata.signed).to_bytes(JSONSerializer(compact=True))


def _still_good(pending: Pending, base: Metadata[Targets], now: datetime) -> bool:
    signed = pending.metadata.signed
    return signed.targets == base.signed.targets and trust.is_fresh(_ROLE, signed, now)
