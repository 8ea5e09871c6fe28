"""Enrol devices: whose signature counts as which device's. Every change is one more row of a history.

By an operator, who has seen the key; by an inventory's CSV (inventory.py); or by the device itself, with a one-time token
(tokens.py). A key that was revoked or replaced never counts again, for no device.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from components.workspace import Workspace
from components.workspace.errors import Conflict, InputError, NotFound, VerificationFailed
from components.workspace.files import create_private
from registry.contract.enrolment import open_request
from registry.contract.envelope import is_key
from registry.contract.times import stamp, utc_now
from registry.database import open_database, reading, writing
from registry.health import keys, tokens
from registry.health.keys import Enrolment
from registry.health.tables import ACTIVE, REPLACED, REVOKED, presence
from registry.inventory import find_device


@dataclass(frozen=True)
class Change:
    """``enrolment``: what counts now; ``changed``: whether it did not before."""

    enrolment: Enrolment
    changed: bool


def enroll(
    workspace: Workspace,
    device_id: str,
    public_key: str,
    actor: str,
    *,
    reason: str = "",
    replace: bool = False,
    dry_run: bool = False,
    now: datetime | None = None,
) -> Change:
    """Let ``public_key``, ed25519 in hex, sign for the device. The same key again changes nothing.

    ``replace`` takes a new key in place of an earlier one; the device's count of reports starts anew with it.

    Raises:
        NotFound: the device is in no inventory.
        InputError: that is no public key.
        Conflict: the device has another key, or the key was revoked, replaced, or is another device's.
    """
    time = stamp(now or utc_now())
    with _open(workspace, dry_run) as connection:
        find_device(connection, device_id)
        return _enroll(connection, device_id, public_key, (time, actor, reason), replace=replace, dry_run=dry_run)


def enroll_new_key(
    workspace: Workspace,
    device_id: str,
    file: Path,
    actor: str,
    *,
    reason: str = "",
    replace: bool = False,
    dry_run: bool = False,
) -> Change:
    """As `enroll`, with a key pair that is made here; the private key (PKCS 8, PEM) goes into ``file``, which only you can read.

    Raises:
        Conflict: as `enroll`, or ``file`` is there already.
    """
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw().hex()
    change = enroll(workspace, device_id, public, actor, reason=reason, replace=replace, dry_run=True)
    if file.exists():
        raise Conflict(f"{file} is there already", hint="name a new file: a private key is never overwritten")
    if dry_run:
        return change
    create_private(file, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        return enroll(workspace, device_id, public, actor, reason=reason, replace=replace)
    except BaseException:
        file.unlink()
        raise


def revoke(
    workspace: Workspace, device_id: str, reason: str, actor: str, *, dry_run: bool = False, now: datetime | None = None
) -> Change:
    """Nothing that the device, or its gateway for it, signs counts from now on. Revoking twice changes nothing.

    Raises:
        NotFound: the device never enrolled.
    """
    time = stamp(now or utc_now())
    with _open(workspace, dry_run) as connection:
        latest = keys.current(connection, [device_id]).get(device_id)
        if latest is None:
            raise NotFound(f"device '{device_id}' has no key", hint="muster device show says what is known of it")
        if latest.state == REVOKED:
            return Change(latest, changed=False)
        entry = Enrolment(device_id, latest.revision + 1, latest.public_key, REVOKED, time, actor, reason)
        if not dry_run:
            keys.append(connection, [entry])
        return Change(entry, changed=True)


def enroll_itself(engine: sa.Engine, data: bytes, *, now: datetime | None = None) -> Change:
    """Take a device's own request (registry/contract/enrolment.py). Sent again after a lost answer, it changes nothing.

    Raises:
        InputError: no request.
        VerificationFailed: the sender does not have the private key, or the token does not open this.
        NotFound: the device is in no inventory.
        Conflict: it has another key; only an operator replaces one.
    """
    moment = now or utc_now()
    try:
        request = open_request(data)
    except ValueError as error:
        raise InputError(f"no enrolment request: {error}", hint="docs/device-contract.md says what to send") from None
    if request is None:
        raise VerificationFailed("the request is not signed by the key that it asks for", hint="sign it with that key")
    with writing(engine) as connection:
        token = tokens.find(connection, request.token, request.device_id, moment)
        device = find_device(connection, request.device_id)
        if device.fleet != token.fleet:
            raise VerificationFailed(f"the token is for fleet '{token.fleet}'", hint="ask for one for the device's fleet")
        tokens.spend(connection, token, request.device_id)
        by = (stamp(moment), device.device_id, f"token of {token.actor}")
        return _enroll(connection, device.device_id, request.public_key, by, replace=False, dry_run=False)


def states(workspace: Workspace, device_ids: list[str]) -> dict[str, Enrolment]:
    """Device -> what counts now; who never enrolled is not in it."""
    with reading(open_database(workspace.database_url)) as connection:
        return keys.current(connection, device_ids)


def _open(workspace: Workspace, dry_run: bool) -> AbstractContextManager[sa.Connection]:
    engine = open_database(workspace.database_url)
    return reading(engine) if dry_run else writing(engine)


def _enroll(
    connection: sa.Connection, device_id: str, public_key: str, by: tuple[str, str, str], *, replace: bool, dry_run: bool
) -> Change:
    _check_key(public_key)
    latest = keys.current(connection, [device_id]).get(device_id)
    if latest is not None and latest.active and latest.public_key == public_key:
        return Change(latest, changed=False)
    if latest is not None and not replace:
        how = "has another key already" if latest.active else "is revoked"
        raise Conflict(f"device '{device_id}' {how}", hint="muster device enroll --replace takes a new key from an operator")
    if (owner := keys.owners(connection, [public_key]).get(public_key)) is not None:
        why = "was revoked or replaced" if owner == device_id else f"is that of '{owner}'"
        raise Conflict(f"the key for '{device_id}' {why}", hint="make a new key for the device")
    revision = latest.revision if latest else 0
    new = []
    if latest is not None and latest.active:
        new.append(Enrolment(device_id, revision + 1, latest.public_key, REPLACED, *by))
    new.append(Enrolment(device_id, revision + len(new) + 1, public_key, ACTIVE, *by))
    if not dry_run:
        keys.append(connection, new)
        connection.execute(sa.update(presence).where(presence.c.device_id == device_id).values(counter=0))
    return Change(new[-1], changed=True)


def _check_key(public_key: str) -> None:
    try:
        good = public_key == public_key.lower() and is_key(bytes.fromhex(public_key))
    except ValueError:
        good = False
    if not good:
        raise InputError(
            f"'{public_key[:80]}' is no public key", hint="give the 32 bytes of an ed25519 key as 64 lower-case hex digits"
        )
