"""The terms of messages behind the watermark, so that they can be looked up."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, and how far each chat is in it.

    The previous release knows neither. What it summarizes meanwhile lies beyond `indexed_position`, and is found there.

    The last step leaves the transaction. Where it fails, the others are done already when this is tried again.
    """
    position = sa.Column("indexed_position", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    op.add_column("chats", position, if_not_exists=True)
    op.create_table(
        "message_terms",
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("by_user", sa.Boolean(), nullable=False),
        sa.Column("terms", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_message_terms_message_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_message_terms")),
        if_not_exists=True,
    )
    # Not concurrently: the table is empty. Without a list of what is not in the index yet (`fastupdate`): each query would
    # read the whole list.
    op.create_index(
        "ix_message_terms_terms",
        "message_terms",
        ["terms"],
        unique=False,
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
        if_not_exists=True,
    )
    # Concurrently: there may be many chats, and they are written meanwhile. A build that failed leaves an unusable index.
    with op.get_context().autocommit_block():
        op.drop_index("ix_chats_not_indexed", "chats", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            "ix_chats_not_indexed",
            "chats",
            ["id"],
            unique=False,
            postgresql_where=sa.text("indexed_position < summary_position"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    """Drop them. They can be made again from the messages."""
    op.drop_index("ix_chats_not_indexed", "chats")
    op.drop_column("chats", "indexed_position")
    op.drop_table("message_terms")
