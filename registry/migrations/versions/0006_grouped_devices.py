"""Devices of a group lie side by side, with their sites: a draft reads an index, and no row of a million."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COLUMNS = ("fleet", "hardware_profile", "firmware_version", "hardware_revision", "site", "device_id")


def upgrade() -> None:
    op.create_index("devices_grouped", "devices", list(_COLUMNS))
    op.drop_index("ix_devices_fleet", "devices")


def downgrade() -> None:
    op.create_index("ix_devices_fleet", "devices", ["fleet"])
    op.drop_index("devices_grouped", "devices")
