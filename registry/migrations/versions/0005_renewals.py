"""What persons sign anew, hardware revisions of devices, and room for the versions that a thief may have run up."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "renewals",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("keyid", sa.String(64), primary_key=True),
        sa.Column("person", sa.String(128), nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("time", sa.String(32), nullable=False),
    )
    with op.batch_alter_table("role_versions") as batch:
        batch.alter_column("release_id", existing_type=sa.String(128), nullable=True)
        batch.add_column(sa.Column("digest", sa.String(64), nullable=True))
    with op.batch_alter_table("given_versions") as batch:
        batch.alter_column("version", existing_type=sa.Integer, type_=sa.BigInteger, existing_nullable=False)
    op.add_column("devices", sa.Column("hardware_revision", sa.String(64), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("devices", "hardware_revision")
    with op.batch_alter_table("given_versions") as batch:
        batch.alter_column("version", existing_type=sa.BigInteger, type_=sa.Integer, existing_nullable=False)
    with op.batch_alter_table("role_versions") as batch:
        batch.drop_column("digest")
        batch.alter_column("release_id", existing_type=sa.String(128), nullable=False)
    op.drop_table("renewals")
