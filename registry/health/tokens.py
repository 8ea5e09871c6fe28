"""One-time tokens that let a device enrol itself. The database has their digests, so that reading it enrols nobody."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from components.workspace import Workspace
from components.workspace.errors import InputError, VerificationFailed
from registry.contract.times import utc_now
from registry.database import open_database, writing
from registry.health.tables import enrolment_tokens
from registry.inventory import count_fleet, show_device

MAX_VALID = timedelta(days=30)


@dataclass(frozen=True)
class Token:
    """``device_id``: the one device that may use it, or empty for any of the fleet; ``used_by``: who has, or None."""

    digest: str
    fleet: str
    device_id: str
    expires_at: int
    actor: str
    used_by: str | None


def issue(
    workspace: Workspace, fleet: str, device_id: str | None, valid: timedelta, actor: str, *, now: datetime | None = None
) -> str:
    """The token, which is told once and kept nowhere.

    Raises:
        NotFound: no such fleet, or no such device.
        InputError: the device is of another fleet, or the time is none.
    """
    if not timedelta() < valid <= MAX_VALID:
        raise InputError("a token is valid for up to 30 days", hint="write --valid 1h, 30min or 2d")
    count_fleet(workspace, fleet)
    if device_id is not None and (of := show_device(workspace, device_id).fleet) != fleet:
        raise InputError(f"device '{device_id}' is of fleet '{of}'", hint=f"write --fleet {of}")
    token = secrets.token_urlsafe(32)
    expires = int(((now or utc_now()) + valid).timestamp())
    row = {"digest": _digest(token), "fleet": fleet, "device_id": device_id or "", "expires_at": expires, "actor": actor}
    with writing(open_database(workspace.database_url)) as connection:
        connection.execute(enrolment_tokens.insert(), row)
    return token


def find(connection: sa.Connection, token: str, device_id: str, now: datetime) -> Token:
    """A token that is good for ``device_id`` now; `spend` says whether it is still to be had.

    Raises:
        VerificationFailed: there is none, it is for another device, or it has expired.
    """
    digest = _digest(token)
    row = connection.execute(sa.select(enrolment_tokens).where(enrolment_tokens.c.digest == digest)).first()
    if row is None or not hmac.compare_digest(row.digest, digest):
        raise _refused("is not known")
    found = Token(*row)
    if found.device_id not in ("", device_id):
        raise _refused("is for another device")
    if found.expires_at <= now.timestamp():
        raise _refused("has expired")
    return found


def spend(connection: sa.Connection, token: Token, device_id: str) -> None:
    """Once; two devices that come at the same time cannot both have it.

    Raises:
        VerificationFailed: another device was faster.
    """
    mine = sa.or_(enrolment_tokens.c.used_by.is_(None), enrolment_tokens.c.used_by == device_id)
    update = sa.update(enrolment_tokens).where(enrolment_tokens.c.digest == token.digest, mine).values(used_by=device_id)
    if connection.execute(update).rowcount != 1:
        raise _refused("was used already")


def _refused(why: str) -> VerificationFailed:
    return VerificationFailed(f"the token {why}", hint="an operator makes a new one with muster device token")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
