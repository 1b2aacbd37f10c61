"""How often a model was asked for a chat's title, so that a title that fails is not asked for at every turn."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. The previous release does not count, so a chat may get a few more tries."""
    op.add_column("chats", sa.Column("title_tries", sa.BigInteger(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("chats", "title_tries")
