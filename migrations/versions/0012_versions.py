"""Versions: a message may be replaced, and then knows which message it followed."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and an index of replaced messages, which is empty yet.

    The previous release knows neither. What it inserts is on the active path, as it has to be. It shows and tells replaced
    messages too, until it is gone.

    The last step leaves the transaction. Where it fails, the others are done already when this is tried again.
    """
    replaced: sa.Column[bool] = sa.Column("replaced", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    op.add_column("messages", replaced, if_not_exists=True)
    op.add_column("messages", sa.Column("parent_position", sa.BigInteger(), nullable=True), if_not_exists=True)
    # Concurrently: there may be many messages. A build that failed leaves an unusable index.
    with op.get_context().autocommit_block():
        op.drop_index("ix_messages_replaced", "messages", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            "ix_messages_replaced",
            "messages",
            ["chat_id"],
            unique=False,
            postgresql_where=sa.text("replaced"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    """Drop them, and all messages that are replaced: the previous release would tell them to the model."""
    op.execute("DELETE FROM messages WHERE replaced")
    op.drop_index("ix_messages_replaced", "messages")
    op.drop_column("messages", "parent_position")
    op.drop_column("messages", "replaced")
