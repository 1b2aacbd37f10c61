"""What a request asks of the model, and hidden chats."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.steps import commit

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and the index of hidden chats.

    Workers of the previous release know no parameters, and would answer without them: they are replaced before an API of this
    release serves /v1.
    """
    op.add_column("generations", sa.Column("parameters", JSONB(), nullable=True), if_not_exists=True)
    commit()
    hidden: sa.Column[bool] = sa.Column("is_hidden", sa.Boolean(), server_default=sa.false(), nullable=False)
    op.add_column("chats", hidden, if_not_exists=True)
    commit()
    # Concurrently: there may be many chats. A build that failed leaves an unusable index.
    with op.get_context().autocommit_block():
        op.drop_index("ix_chats_hidden", "chats", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            "ix_chats_hidden",
            "chats",
            ["last_message_at"],
            postgresql_where=sa.text("is_hidden"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    """Drop the columns. Hidden chats are deleted: else they would be shown."""
    op.execute("DELETE FROM generations USING chats WHERE chats.id = chat_id AND is_hidden")
    op.execute("DELETE FROM chats WHERE is_hidden")
    op.drop_index("ix_chats_hidden", "chats")
    op.drop_column("chats", "is_hidden")
    op.drop_column("generations", "parameters")
