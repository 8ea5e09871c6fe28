"""Devices of a group lie side by side, with their sites, for drafts; releases whose reports count no more.

A draft for a million devices reads an index, and no row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COLUMNS = ("fleet", "hardware_profile", "firmware_version", "hardware_revision", "device_id", "site")


def upgrade() -> None:
    op.create_index("devices_grouped", "devices", list(_COLUMNS))
    op.drop_index("ix_devices_fleet", "devices")
    op.create_table("closed_rollouts", sa.Column("rollout_id", sa.String(128), primary_key=True))


def downgrade() -> None:
    op.drop_table("closed_rollouts")
    op.create_index("ix_devices_fleet", "devices", ["fleet"])
    op.drop_index("devices_grouped", "devices")
