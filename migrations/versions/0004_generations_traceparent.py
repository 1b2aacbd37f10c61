"""The trace context of the request that asked for a generation, so that a retry and the sweep have it too."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. The previous release does not know it and leaves it empty."""
    op.add_column("generations", sa.Column("traceparent", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("generations", "traceparent")
