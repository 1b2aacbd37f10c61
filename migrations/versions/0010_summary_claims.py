"""Summaries are claimed for a time of their own, and the pages of earlier searches are found by an index.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, and the index without a lock that others would wait for."""
    claimed_until = sa.Column("summary_claimed_until", sa.DateTime(timezone=True), nullable=True)
    op.add_column("chats", claimed_until, if_not_exists=True)
    with op.get_context().autocommit_block():
        # A build that failed leaves an unusable index.
        op.drop_index("ix_generations_with_steps", "generations", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            "ix_generations_with_steps",
            "generations",
            ["chat_id", "user_message_id"],
            unique=False,
            postgresql_where=sa.text("steps IS NOT NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    """Drop both."""
    op.drop_index("ix_generations_with_steps", "generations")
    op.drop_column("chats", "summary_claimed_until")
