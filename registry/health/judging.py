"""Who says it, and may they? A report counts when a device of the inventory said it of what it was offered.

A device is heard by its own key, or by the key of the gateway that its inventory row names in ``via``; a revoked device is
heard by neither. "Installed" counts as reverted when something else runs than what was offered: the device fell back.
Only a statement of health ("running") is taken from devices that the release has not reached: they are what it is compared with.
A report that says the firmware version is held against the variant that takes it; one that does not, against the inventory's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import sqlalchemy as sa
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from registry.contract.cohort import place
from registry.contract.dsse import key_id
from registry.contract.reasons import Reason
from registry.contract.report import RUNS, Report
from registry.contract.signed_report import SignedReport
from registry.database import devices
from registry.health.lookups import among
from registry.health.rollouts import Offered, Rollout, Rollouts
from registry.health.signatures import is_signed
from registry.health.tables import ACTIVE, REVOKED, enrolments

_Key = tuple[bytes, str]
"""A public key, and what was said of it: active, revoked or replaced."""


class Refusal(StrEnum):
    """Why a delivery does not count. The words are shown, and answered to devices."""

    MALFORMED = "malformed"
    UNKNOWN_DEVICE = "unknown_device"
    NOT_ENROLLED = "not_enrolled"
    REVOKED = "revoked"
    REPLACED_KEY = "replaced_key"
    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_ROLLOUT = "unknown_rollout"
    WRONG_VARIANT = "wrong_variant"
    NOT_IN_COHORT = "not_in_cohort"
    CONFLICT = "conflict"
    ROLLOUT_OVER = "rollout_over"


@dataclass(frozen=True)
class Refused:
    """``fleet`` and ``rollout_id`` are empty where they are not ours."""

    reason: Refusal
    fleet: str = ""
    rollout_id: str = ""


class Heard(NamedTuple):
    """A report that counts. ``key``: what makes two deliveries one report; ``digest``: of its content.

    ``generation``, the third of ``key``: how many keys its device has had. ``via``: the gateway that signed, or empty.
    ``recorded``: the firmware version that the inventory has.
    """

    report: Report
    key: tuple[str, str, int, int, int]
    digest: bytes
    fleet: str
    bucket: int
    via: str
    outcome: str
    reason: str | None
    recorded: str = ""


def judge(
    connection: sa.Connection, signed: Sequence[SignedReport], rollouts: Rollouts, *, require_signatures: bool
) -> list[Heard | Refused]:
    """In the order of ``signed``."""
    ids = {s.report.device_id for s in signed}
    rows = _devices(connection, ids)
    gateways = {row.via for row in rows.values()} - {""}
    history = _keys(connection, ids | gateways)
    known = rollouts.read(connection, {s.report.rollout_id for s in signed})
    return [_judged(s, rows.get(s.report.device_id), history, known, require_signatures) for s in signed]


class _Device(NamedTuple):
    device_id: str
    fleet: str
    profile: str
    firmware: str
    via: str


def _devices(connection: sa.Connection, ids: Iterable[str]) -> dict[str, _Device]:
    c = devices.c
    query = sa.select(c.device_id, c.fleet, c.hardware_profile, c.firmware_version, c.via)
    rows = connection.execute(query.where(among(connection, c.device_id, ids))).all()
    return {row[0]: _Device(*row) for row in rows}


def _keys(connection: sa.Connection, ids: Iterable[str]) -> dict[str, tuple[_Key, ...]]:
    """Device -> its keys, oldest first."""
    columns = (enrolments.c.device_id, enrolments.c.public_key, enrolments.c.state)
    query = sa.select(*columns).where(among(connection, enrolments.c.device_id, ids)).order_by(enrolments.c.revision)
    found: dict[str, tuple[_Key, ...]] = {}
    for device, key, state in connection.execute(query).all():
        found[device] = (*found.get(device, ()), (bytes.fromhex(key), state))
    return found


def _judged(
    signed: SignedReport, row: _Device | None, history: dict[str, tuple[_Key, ...]], known: dict[str, Rollout], verify: bool
) -> Heard | Refused:
    report = signed.report
    if row is None:
        return Refused(Refusal.UNKNOWN_DEVICE)
    rollout = known.get(report.rollout_id)
    mine = rollout if rollout is not None and rollout.fleet == row.fleet else None
    own = history.get(row.device_id, ())
    via, refusal = _signer(signed, own, row.via, history.get(row.via, ()), verify=verify)
    offered = mine.variants.get(report.firmware_variant) if mine else None
    if refusal is None and mine is None:
        refusal = Refusal.UNKNOWN_ROLLOUT
    if refusal is None and (offered is None or not _takes(offered, row.profile, report.firmware_version or row.firmware)):
        refusal = Refusal.WRONG_VARIANT
    if refusal is not None or offered is None:
        return Refused(refusal or Refusal.WRONG_VARIANT, row.fleet, report.rollout_id if mine else "")
    cohort = offered.cohort
    bucket = place(cohort.salt, report.device_id, cohort.deferred, cohort.deferred_to)
    if bucket >= offered.upto and report.outcome != "running":
        return Refused(Refusal.NOT_IN_COHORT, row.fleet, report.rollout_id)
    outcome, reason = report.outcome, report.reason.value if report.reason else None
    allowed = (offered.sha256, offered.withdrawn)  # in a rollback a device may not have heard of it yet
    if outcome in RUNS - {"running"} and report.running_sha256 not in allowed:
        outcome, reason = "reverted", Reason.WRONG_DIGEST.value
    generation = sum(state == ACTIVE for _, state in own)
    key = (report.rollout_id, report.device_id, generation, report.attempt, report.counter)
    digest = hashlib.sha256(signed.sealed.body).digest()[:16]
    return Heard(report, key, digest, row.fleet, bucket, via, outcome, reason, row.firmware)


def _signer(
    signed: SignedReport, own: tuple[_Key, ...], gateway: str, gateways: tuple[_Key, ...], *, verify: bool
) -> tuple[str, Refusal | None]:
    """(the gateway that signed, or empty for the device itself; why the signature does not count)."""
    if own and own[-1][1] == REVOKED:
        return "", Refusal.REVOKED
    if not verify:
        return "", None
    for name, keys in (("", own), (gateway, gateways)):
        for key, _ in reversed(keys):
            if key_id(key) == signed.keyid:
                return name, _checked(signed, key, keys[-1])
    return "", Refusal.BAD_SIGNATURE if own or gateways else Refusal.NOT_ENROLLED


def _checked(signed: SignedReport, key: bytes, latest: _Key) -> Refusal | None:
    if latest[0] != key:
        return Refusal.REPLACED_KEY
    if latest[1] == REVOKED:
        return Refusal.REVOKED
    return None if is_signed(signed.sealed, key) else Refusal.BAD_SIGNATURE


def _takes(offered: Offered, profile: str, firmware: str) -> bool:
    return offered.profile == profile and _contains(offered.firmware, firmware)


@lru_cache(maxsize=4096)
def _contains(firmware: str, version: str) -> bool:
    return SpecifierSet(firmware).contains(Version(version), prereleases=True)
