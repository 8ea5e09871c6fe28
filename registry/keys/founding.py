"""Make every key that is missing, and sign who they belong to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, Targets

from components.workspace import Workspace
from components.workspace.errors import InputError
from registry import trust
from registry.contract.times import utc_now
from registry.keys.custody import make_key, signer_of
from registry.keys.elsewhere import read_public_key
from registry.keys.holders import DEMO, ONLINE, ROOTS, Holder, show_keys
from registry.keys.signing import sign_root

_PERSON = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def init_keys(
    workspace: Workspace,
    people: Sequence[str] = (),
    *,
    demo: bool = False,
    public_keys: Mapping[str, Path] | None = None,
    now: datetime | None = None,
) -> tuple[Holder, ...]:
    """Make every key that is missing, and sign who they belong to.

    Running it again adds new persons and the keys of new fleets, renews what nears its expiry, and else changes nothing.
    ``public_keys``: role ('timestamp', 'people/ana', ...) -> PEM file, of keys whose private halves are kept elsewhere.

    Raises:
        InputError: fewer than two persons, a name that is no name, or a public key that is none, of no role, or of a role
            that has another key already or another role's.
    """
    now = now or utc_now()
    given = {role: read_public_key(file) for role, file in (public_keys or {}).items()}
    named = [r.removeprefix("people/") for r in given if r.startswith("people/")]
    for name in (*people, *named):
        require_name(name)
    everyone = sorted({*people, *named, *_people(workspace)})
    if len(everyone) < trust.RELEASES_THRESHOLD:
        raise InputError(
            "a release takes the keys of two persons", hint="muster keys init --person ana --person ben, with your names"
        )
    fleets = [f"fleet-{f.name}" for f in workspace.settings.fleets]
    roles = [*ROOTS, "targets", *ONLINE, *fleets, *(f"people/{name}" for name in everyone)]
    if strange := sorted(set(given) - set(roles)):
        raise InputError(f"there is no role '{strange[0]}' to have a key", hint=f"one of {', '.join(roles)}")
    public = {role: _public(workspace, role, given.get(role), demo=demo) for role in roles}
    persons = {name: public[f"people/{name}"] for name in everyone}
    _sign_targets(workspace, public["targets"], persons, {f: public[f] for f in fleets}, now)
    _sign_root(workspace, public, now)
    return show_keys(workspace)


def require_name(name: str) -> None:
    """Raises InputError for what is no name of a person."""
    if not _PERSON.fullmatch(name):
        raise InputError(f"'{name}' is no name for a person", hint="use small letters, digits, - and _")


def labelled(key: Key, role: str, *, demo: bool) -> Key:
    """The key with its holder's name, where its role has several, and whether it is a demo's."""
    if role in ROOTS or role.startswith("people/"):
        key.unrecognized_fields[trust.HOLDER] = role.rpartition("/")[2]
    if demo:
        key.unrecognized_fields[DEMO] = True
    return key


def _people(workspace: Workspace) -> list[str]:
    return sorted(h.name for h in show_keys(workspace) if h.role == "releases") if trust.newest_root(workspace) else []


def _public(workspace: Workspace, role: str, given: Key | None, *, demo: bool) -> Key:
    """The public half: the trusted one, the one that is brought in, or that of a file, which is made if there is none."""
    known = trust.key_of_role(workspace, role)
    if known is None:
        return labelled(given or make_key(workspace, role), role, demo=demo)
    if given is not None and not trust.is_same(given, known):
        raise InputError(f"devices trust another key of '{role}' already", hint=f"muster keys rotate {role} --public-key FILE")
    return known


def _sign_targets(workspace: Workspace, own: Key, persons: dict[str, Key], fleets: dict[str, Key], now: datetime) -> None:
    before = trust.newest_targets(workspace)
    wanted = trust.delegations(persons, fleets)
    if before and before.signed.delegations == wanted and trust.is_fresh("targets", before.signed, now):
        return
    version = before.signed.version + 1 if before else 1
    metadata = Metadata(Targets(version, expires=trust.expiry("targets", now), delegations=wanted))
    trust.sign(metadata, signer_of(workspace, "targets", own))
    trust.keep(workspace, metadata)


def _sign_root(workspace: Workspace, public: Mapping[str, Key], now: datetime) -> None:
    before = trust.newest_root(workspace)
    if before and trust.is_fresh("root", before.signed, now):
        return
    version = before.signed.version + 1 if before else 1
    trust.require_distinct(public[name] for name in ROOTS)
    root = Root(version, expires=trust.expiry("root", now), consistent_snapshot=True)
    for name in (*ROOTS, "targets", *ONLINE):
        root.add_key(public[name], name.partition("-")[0])
    root.roles["root"].threshold = trust.ROOT_THRESHOLD
    sign_root(workspace, Metadata(root), {name: public[name] for name in ROOTS})
