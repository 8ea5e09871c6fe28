"""Approve or deny a release. Two persons sign the same `releases` metadata; the second signature starts the release.

What is signed is proposed by the first approver: the metadata that is in force, plus this release's artefacts. Each
approver computes it again and signs only what comes out equal. When another release starts in between, the proposal
is stale and the signatures over it are void, which the log shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Metadata, Targets
from tuf.api.serialization.json import JSONSerializer

from components.workspace import Workspace
from components.workspace.errors import ApprovalNeeded, Conflict
from components.workspace.files import sha256_bytes
from registry import trust
from registry.contract.times import stamp, utc_now
from registry.database import open_database, reading, writing
from registry.keys import require_keys
from registry.repository.metadata import targets
from registry.rollout import events
from registry.rollout.documents import keep, kept
from registry.rollout.events import following
from registry.rollout.manifests import entries_of, merged
from registry.rollout.persons import releasing_signer, require_person, sign_as
from registry.rollout.publication import in_force, publish_decided, reconcile
from registry.rollout.query import history
from registry.rollout.release import Approval, Release
from registry.rollout.replaying import apply, replay, require
from registry.rollout.starting import take_over, ways_back
from registry.rollout.states import OFFERED, Kind, State


@dataclass(frozen=True)
class Signing:
    """What an approval would sign: version and digest of the `releases` metadata, and the paths it adds or changes."""

    version: int
    digest: str
    paths: tuple[str, ...]
    approvals: tuple[str, ...]
    needed: int


def approve(workspace: Workspace, release_id: str, person: str, reason: str, *, now: datetime | None = None) -> Release:
    """Sign the release with the key of ``person``; with the second person's signature it starts and is published.

    Raises:
        NotFound: no such release, or the person's key is not here.
        Conflict: the person has signed already, the release does not wait for approval, or someone was faster.
        VerificationFailed: the person's key is not one of those that may release.
    """
    now = now or utc_now()
    log = history(workspace, release_id)
    release = replay(log)
    require(release, Kind.APPROVED)
    version, body = _proposal(workspace, release, now)
    digest = sha256_bytes(body)
    valid = _valid(workspace, release, digest)
    _require_another(release, person, valid)
    keyid, signature = sign_as(workspace, person, Metadata[Targets].from_bytes(body).signed_bytes)
    payload = {"version": version, "digest": digest, "keyid": keyid, "signature": signature, "reason": reason}
    new = [following(log[-1], release_id, stamp(now), person, Kind.APPROVED, payload)]
    release = apply(release, new[0])
    with writing(open_database(workspace.database_url)) as connection:
        keep(connection, digest, body)
        if len(_valid(workspace, release, digest)) >= trust.RELEASES_THRESHOLD:
            new += take_over(connection, release, new[-1], person, stamp(now))
            release = replay((*log, *new))
        events.append(connection, new)
    if release.state == State.RUNNING:
        publish_decided(workspace, release, "is approved and started", now)
    return release


def deny(
    workspace: Workspace,
    release_id: str,
    person: str,
    reason: str,
    *,
    dry_run: bool = False,
    now: datetime | None = None,
) -> Release:
    """End a release that waits for approval; with ``dry_run``, return what would be.

    Raises:
        NotFound: no such release, or nobody of this name may release.
        Conflict: it does not wait for approval.
    """
    require_person(workspace, person)
    log = history(workspace, release_id)
    event = following(log[-1], release_id, stamp(now or utc_now()), person, Kind.DENIED, {"reason": reason})
    release = apply(replay(log), event)
    if not dry_run:
        with writing(open_database(workspace.database_url)) as connection:
            events.append(connection, [event])
    return release


def preview(workspace: Workspace, release_id: str, person: str, *, now: datetime | None = None) -> Signing:
    """What `approve` would sign now.

    Raises:
        NotFound, Conflict, VerificationFailed: as `approve`; NotFound, too: there are no keys yet.
    """
    require_keys(workspace)
    release = replay(history(workspace, release_id))
    require(release, Kind.APPROVED)
    version, body = _proposal(workspace, release, now or utc_now())
    digest = sha256_bytes(body)
    valid = _valid(workspace, release, digest)
    _require_another(release, person, valid)
    releasing_signer(workspace, person)
    with reading(open_database(workspace.database_url)) as connection:
        paths = tuple(entries_of(release, ways_back(connection, release)))
    return Signing(version, digest, paths, tuple(a.person for a in valid), trust.RELEASES_THRESHOLD)


def start(workspace: Workspace, release_id: str, *, dry_run: bool = False) -> Release:
    """A release that persons have approved, with everything that it offers published, or with ``dry_run`` left as it is.

    Raises:
        ApprovalNeeded: it still waits for persons.
        Conflict: it was denied, or has ended.
    """
    release = replay(history(workspace, release_id))
    if release.state == State.WAITING_FOR_APPROVAL:
        missing = trust.RELEASES_THRESHOLD - len(release.approvals)
        raise ApprovalNeeded(
            f"release '{release.id}' waits for {missing} more person{'s' if missing > 1 else ''}",
            hint=f"muster release approve {release.id} --person NAME --reason TEXT",
        )
    if release.state not in OFFERED:
        raise Conflict(
            f"release '{release.id}' is {release.state.replace('_', ' ')}", hint="muster release draft --again drafts it anew"
        )
    if not dry_run:
        reconcile(workspace)
    return release


def _require_another(release: Release, person: str, valid: tuple[Approval, ...]) -> None:
    if person in {a.person for a in valid}:
        raise Conflict(f"{person} has approved '{release.id}' already", hint="a second person has to approve it")


def _proposal(workspace: Workspace, release: Release, now: datetime) -> tuple[int, bytes]:
    """(version, unsigned metadata file). An earlier approver's proposal is taken over when it is still what would be proposed."""
    with reading(open_database(workspace.database_url)) as connection:
        base, ways = in_force(connection), ways_back(connection, release)
        earlier = kept(connection, release.proposal.digest) if release.proposal else None
    version, before = (base.signed.version + 1, base.signed.targets) if base else (1, {})
    fresh = targets("releases", version, merged(before, entries_of(release, ways)), now)
    if earlier is not None and _still_good(Metadata[Targets].from_bytes(earlier), fresh, now):
        return version, earlier
    return version, fresh.to_bytes(JSONSerializer(compact=True))


def _still_good(earlier: Metadata[Targets], fresh: Metadata[Targets], now: datetime) -> bool:
    same = (earlier.signed.version, earlier.signed.targets) == (fresh.signed.version, fresh.signed.targets)
    return same and trust.is_fresh("releases", earlier.signed, now) and earlier.signed.expires <= fresh.signed.expires


def _valid(workspace: Workspace, release: Release, digest: str) -> tuple[Approval, ...]:
    """Signatures over this proposal by keys that still count: persons go, and get new keys."""
    top = trust.newest_targets(workspace)
    if top is None or top.signed.delegations is None or release.proposal is None or release.proposal.digest != digest:
        return ()
    named = (top.signed.delegations.roles or {})["releases"].keyids
    return tuple(a for a in release.approvals if a.keyid in named)
