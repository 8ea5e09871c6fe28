"""Keys of devices with their history, one-time tokens, and health reports. Keys leave the inventory for their history."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OUTCOMES = ("started", "installed", "reverted", "failed", "rejected", "already_installed", "running")
_ACTIVE = sa.text("state = 'active'")
_MOVE = """
INSERT INTO enrolments (device_id, revision, public_key, state, time, actor, reason)
SELECT MIN(device_id), 1, public_key, 'active', '2026-11-28T00:00:00Z', 'migration', 'from the inventory'
FROM devices WHERE public_key <> '' GROUP BY public_key
"""


def upgrade() -> None:
    enrolments = op.create_table(
        "enrolments",
        sa.Column("device_id", sa.String(128), primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("public_key", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("time", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index(
        "enrolments_active_once", enrolments.name, ["public_key"], unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE
    )
    op.execute(_MOVE)
    with op.batch_alter_table("devices") as devices:
        devices.drop_column("public_key")
    op.create_table(
        "enrolment_tokens",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("fleet", sa.String(64), nullable=False),
        sa.Column("device_id", sa.String(128), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("used_by", sa.String(128), nullable=True),
    )
    op.create_table(
        "health",
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
        *(sa.Column(f"{outcome}_at", sa.BigInteger, nullable=True) for outcome in _OUTCOMES),
    )
    op.create_table(
        "report_keys",
        sa.Column("rollout_id", sa.String(128), primary_key=True),
        sa.Column("device_id", sa.String(128), primary_key=True),
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("counter", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.LargeBinary(16), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "presence",
        sa.Column("device_id", sa.String(128), primary_key=True),
        sa.Column("last_seen", sa.BigInteger, nullable=False),
        sa.Column("counter", sa.BigInteger, nullable=False),
        sa.Column("via", sa.String(128), nullable=False),
    )
    op.create_table(
        "rejections",
        sa.Column("fleet", sa.String(64), primary_key=True),
        sa.Column("rollout_id", sa.String(128), primary_key=True),
        sa.Column("reason", sa.String(32), primary_key=True),
        sa.Column("deliveries", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    with op.batch_alter_table("devices") as devices:
        devices.add_column(sa.Column("public_key", sa.String(64), nullable=False, server_default=""))
    op.execute(
        "UPDATE devices SET public_key = COALESCE((SELECT e.public_key FROM enrolments e"
        " WHERE e.device_id = devices.device_id AND e.state = 'active'"
        " AND e.revision = (SELECT MAX(l.revision) FROM enrolments l WHERE l.device_id = e.device_id)), '')"
    )
    for table in ("rejections", "presence", "report_keys", "health", "enrolment_tokens", "enrolments"):
        op.drop_table(table)
