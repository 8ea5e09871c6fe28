"""Devices, releases, their event log, and what makes writers collide."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("device_id", sa.String(128), primary_key=True),
        sa.Column("fleet", sa.String(64), nullable=False, index=True),
        sa.Column("hardware_profile", sa.String(64), nullable=False),
        sa.Column("firmware_version", sa.String(64), nullable=False),
        sa.Column("site", sa.String(128), nullable=False),
        sa.Column("public_key", sa.String(64), nullable=False),
        sa.Column("via", sa.String(128), nullable=False),
    )
    op.create_table(
        "releases",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("fleet", sa.String(64), nullable=False),
        sa.Column("counter", sa.Integer, nullable=False),
        sa.Column("model_name", sa.String(64), nullable=False),
        sa.Column("model_version", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.UniqueConstraint("fleet", "counter"),
        sa.UniqueConstraint("fleet", "model_name", "model_version", "attempt"),
    )
    op.create_table(
        "events",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("release_id", sa.String(128), sa.ForeignKey("releases.id"), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("time", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.UniqueConstraint("release_id", "revision"),
    )
    op.create_table(
        "publications",
        sa.Column("fleet", sa.String(64), primary_key=True),
        sa.Column("variant", sa.String(128), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("release_id", sa.String(128), sa.ForeignKey("releases.id"), nullable=False),
    )
    op.create_table(
        "role_versions",
        sa.Column("role", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("release_id", sa.String(128), sa.ForeignKey("releases.id"), nullable=False),
    )
    op.create_table(
        "documents",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    for table in ("documents", "role_versions", "publications", "events", "releases", "devices"):
        op.drop_table(table)
