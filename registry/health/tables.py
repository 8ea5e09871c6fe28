"""What is kept of devices' keys and reports. Times are seconds UTC of the server's clock.

``enrolments`` is a history: a device's latest row says which key counts, and no key is ever active twice. How many keys a
device has had before is its ``generation``: a new key starts a new count of reports.

``report_keys`` has each report once, ``health`` what a device said last in a rollout, ``presence`` when it was last heard.
``reported_firmware`` has the devices whose own word on their firmware is the inventory's: what they said, and what was imported.
``closed_rollouts`` are those whose keys are gone: none of their reports counts any more (pruning.py).
``rejections`` counts deliveries that were refused; its keys are words of ours, so that nobody can make it grow.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from registry.contract.report import OUTCOMES
from registry.database import metadata

ACTIVE, REVOKED, REPLACED = "active", "revoked", "replaced"

enrolments = sa.Table(
    "enrolments",
    metadata,
    sa.Column("device_id", sa.String(128), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("public_key", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("time", sa.String(32), nullable=False),
    sa.Column("actor", sa.String(128), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
sa.Index(
    "enrolments_active_once",
    enrolments.c.public_key,
    unique=True,
    sqlite_where=enrolments.c.state == ACTIVE,
    postgresql_where=enrolments.c.state == ACTIVE,
)
enrolment_tokens = sa.Table(
    "enrolment_tokens",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("fleet", sa.String(64), nullable=False),
    sa.Column("device_id", sa.String(128), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(128), nullable=False),
    sa.Column("used_by", sa.String(128), nullable=True),
)
health = sa.Table(
    "health",
    metadata,
    sa.Column("rollout_id", sa.String(128), primary_key=True),
    sa.Column("device_id", sa.String(128), primary_key=True),
    sa.Column("variant", sa.String(128), nullable=False),
    sa.Column("bucket", sa.Integer, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("attempt", sa.BigInteger, nullable=False),
    sa.Column("counter", sa.BigInteger, nullable=False),
    sa.Column("sequence_number", sa.BigInteger, nullable=False),
    sa.Column("outcome", sa.String(32), nullable=False),
    sa.Column("reason", sa.String(64), nullable=True),
    sa.Column("running_sha256", sa.String(64), nullable=True),
    sa.Column("self_test_passed", sa.Boolean, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("latency_us", sa.BigInteger, nullable=True),
    sa.Column("drift_milli", sa.BigInteger, nullable=True),
    sa.Column("anomaly_milli", sa.BigInteger, nullable=True),
    sa.Column("boot_id", sa.String(64), nullable=False),
    sa.Column("first_at", sa.BigInteger, nullable=False),
    sa.Column("settled_at", sa.BigInteger, nullable=False),
    sa.Column("reports", sa.BigInteger, nullable=False),
    *(sa.Column(f"{outcome}_at", sa.BigInteger, nullable=True) for outcome in OUTCOMES),
)
report_keys = sa.Table(
    "report_keys",
    metadata,
    sa.Column("rollout_id", sa.String(128), primary_key=True),
    sa.Column("device_id", sa.String(128), primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("counter", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.LargeBinary(16), nullable=False),
    sqlite_with_rowid=False,
)
closed_rollouts = sa.Table(
    "closed_rollouts",
    metadata,
    sa.Column("rollout_id", sa.String(128), primary_key=True),
)
presence = sa.Table(
    "presence",
    metadata,
    sa.Column("device_id", sa.String(128), primary_key=True),
    sa.Column("last_seen", sa.BigInteger, nullable=False),
    sa.Column("counter", sa.BigInteger, nullable=False),
    sa.Column("via", sa.String(128), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False, server_default="0"),
)
reported_firmware = sa.Table(
    "reported_firmware",
    metadata,
    sa.Column("device_id", sa.String(128), primary_key=True),
    sa.Column("firmware_version", sa.String(64), nullable=False),
    sa.Column("imported", sa.String(64), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
rejections = sa.Table(
    "rejections",
    metadata,
    sa.Column("fleet", sa.String(64), primary_key=True),
    sa.Column("rollout_id", sa.String(128), primary_key=True),
    sa.Column("reason", sa.String(32), primary_key=True),
    sa.Column("deliveries", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
)

SAID: Final = (
    "attempt",
    "counter",
    "sequence_number",
    "outcome",
    "reason",
    "running_sha256",
    "self_test_passed",
    "errors",
    "latency_us",
    "drift_milli",
    "anomaly_milli",
    "boot_id",
)
"""Columns of ``health`` that the latest report of a device says."""
