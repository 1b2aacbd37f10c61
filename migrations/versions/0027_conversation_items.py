"""Items that were added to conversations and that no response has taken yet."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table. Processes of the release before do not know it, and answer without these items."""
    op.create_table(
        "conversation_items",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("item", JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chat_id"], ["chats.id"], name=op.f("fk_conversation_items_chat_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversation_items")),
        if_not_exists=True,
    )
    op.create_index("ix_conversation_items_chat_id", "conversation_items", ["chat_id", "id"], if_not_exists=True)


def downgrade() -> None:
    """Drop the table, with the items that wait."""
    op.drop_table("conversation_items")
