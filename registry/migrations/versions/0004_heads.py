"""The end of each release's log, so that a log which lost its last events is noticed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_HEADS = """
UPDATE releases SET head = COALESCE((SELECT e.hash FROM events e WHERE e.release_id = releases.id AND e.revision =
(SELECT MAX(l.revision) FROM events l WHERE l.release_id = releases.id)), '')
"""


def upgrade() -> None:
    op.add_column("releases", sa.Column("head", sa.String(64), nullable=False, server_default=""))
    op.execute(_HEADS)


def downgrade() -> None:
    op.drop_column("releases", "head")
