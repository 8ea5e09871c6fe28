"""What devices say of their firmware, beside what was imported; how many keys a device had when it was last heard."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reported_firmware",
        sa.Column("device_id", sa.String(128), primary_key=True),
        sa.Column("firmware_version", sa.String(64), nullable=False),
        sa.Column("imported", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.add_column("presence", sa.Column("generation", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("presence", "generation")
    op.drop_table("reported_firmware")
