"""Persons come, go, and get new keys, and what is released stays released meanwhile.

The targets metadata names the persons, the `releases` metadata carries their signatures, and the snapshot switches both at
one moment. So a change is made when two of those who count afterwards have signed what is released: at once where they
have, else after `renew` (renewing.py). What they sign may count afterwards only, as when somebody's key is lost: then it
is published together with the change.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Targets

from components.workspace import Workspace
from components.workspace.errors import ApprovalNeeded, Conflict, InputError, NotFound
from registry import trust
from registry.contract.times import utc_now
from registry.database import open_database, writing
from registry.keys import Rotation, no_keys, signer_of
from registry.keys.custody import adopt_key, make_key, spare_key
from registry.keys.elsewhere import read_public_key
from registry.keys.founding import labelled, require_name
from registry.keys.holders import is_demo
from registry.rollout.publication import in_force
from registry.rollout.renewing import counts, pending_renewals, take_force

_ROLE = "releases"


def rotate_person(
    workspace: Workspace, name: str, *, public_key: Path | None = None, dry_run: bool = False, now: datetime | None = None
) -> Rotation:
    """Give a person a new key. Publish afterwards. ``dry_run``: only say which key would be replaced (``after`` is '').

    Raises:
        NotFound: no such person, or the targets key, which has to sign this, is not here.
        ApprovalNeeded: what is released has to be signed anew first. The new key is made, and `renew` signs with it, too.
    """
    persons = _persons(workspace)
    before = _known(persons, name)
    if dry_run:
        return Rotation(f"people/{name}", before.keyid, "")
    if public_key:
        after = read_public_key(public_key)
        after.unrecognized_fields.update(before.unrecognized_fields)
    else:
        after = spare_key(workspace, f"people/{name}", like=before)
    _restaff(workspace, persons | {name: after}, now or utc_now())
    adopt_key(workspace, f"people/{name}")
    return Rotation(f"people/{name}", before.keyid, after.keyid)


def add_person(
    workspace: Workspace, name: str, *, public_key: Path | None = None, now: datetime | None = None
) -> tuple[str, ...]:
    """Let one more person release; returns everybody who may. Publish afterwards.

    Raises:
        InputError: the name is no name, or ``public_key`` no key, or somebody else's.
        Conflict: the person may release already.
        NotFound: the targets key is not here.
    """
    require_name(name)
    persons = _persons(workspace)
    if name in persons:
        raise Conflict(f"{name} may release already", hint=f"muster keys rotate people/{name} gives them a new key")
    demo = any(is_demo(key) for key in persons.values())
    key = read_public_key(public_key) if public_key else make_key(workspace, f"people/{name}")
    _restaff(workspace, persons | {name: labelled(key, f"people/{name}", demo=demo and public_key is None)}, now or utc_now())
    return tuple(sorted([*persons, name]))


def remove_person(workspace: Workspace, name: str, *, now: datetime | None = None) -> tuple[str, ...]:
    """Nobody takes this person's signature any more; returns those who may still release. Publish afterwards.

    Raises:
        NotFound: no such person, or the targets key is not here.
        InputError: fewer than two persons would be left.
        ApprovalNeeded: what is released has to be signed anew first, by two of those who stay.
    """
    persons = _persons(workspace)
    _known(persons, name)
    left = {n: key for n, key in persons.items() if n != name}
    if len(left) < trust.RELEASES_THRESHOLD:
        raise InputError(f"without {name} nobody could release: it takes two persons", hint="muster keys add NAME first")
    _restaff(workspace, left, now or utc_now())
    return tuple(sorted(left))


def _restaff(workspace: Workspace, persons: dict[str, Key], now: datetime) -> None:
    top = _top(workspace)
    before = top.signed.delegations
    roles = (before.roles or {}) if before else {}
    fleets = {r: before.keys[role.keyids[0]] for r, role in roles.items() if before and r.startswith("fleet-")}
    wanted = trust.delegations(persons, fleets)
    changed = before is None or {k.keyid for k in persons.values()} != set(roles[_ROLE].keyids)
    if changed:
        top = Metadata(Targets(top.signed.version + 1, expires=trust.expiry("targets", now), delegations=wanted))
        trust.sign(top, signer_of(workspace, "targets"))
    with writing(open_database(workspace.database_url)) as connection:
        _release_under(connection, top, sorted(persons))
        if changed:
            trust.keep(workspace, top)


def _release_under(connection: sa.Connection, top: Metadata[Targets], persons: list[str]) -> None:
    """What is released counts under ``top``, or a renewal that does takes its place."""
    base = in_force(connection)
    if base is None or counts(top, base):
        return
    version = base.signed.version + 1
    pending = pending_renewals(connection, version)
    good = next((p for p in pending if p.metadata.signed.targets == base.signed.targets and counts(top, p.metadata)), None)
    if good is None:
        signed = sorted({n for p in pending for n in p.persons})
        raise ApprovalNeeded(
            f"two of {', '.join(persons)} have to sign what is released anew first"
            + (f"; {', '.join(signed)} signed it already" if signed else ""),
            hint="muster keys renew --person NAME --reason TEXT, each of them; then repeat this",
        )
    take_force(connection, version, good.digest)


def _persons(workspace: Workspace) -> dict[str, Key]:
    delegations = _top(workspace).signed.delegations
    named = (delegations.roles or {})[_ROLE].keyids if delegations else []
    return {trust.holder_of(delegations.keys[i], _ROLE): delegations.keys[i] for i in named} if delegations else {}


def _known(persons: dict[str, Key], name: str) -> Key:
    if name not in persons:
        raise NotFound(f"nobody called '{name}' may release", hint=f"there are: {', '.join(sorted(persons))}")
    return persons[name]


def _top(workspace: Workspace) -> Metadata[Targets]:
    top = trust.newest_targets(workspace)
    if top is None:
        raise no_keys(workspace)
    return top
