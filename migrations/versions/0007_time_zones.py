"""The time zones of users and of their messages, so that a model is told the user's date."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. The previous release does not know them, and leaves them empty."""
    op.add_column("users", sa.Column("time_zone", sa.Text(), nullable=True))
    op.add_column("generations", sa.Column("time_zone", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("generations", "time_zone")
    op.drop_column("users", "time_zone")
