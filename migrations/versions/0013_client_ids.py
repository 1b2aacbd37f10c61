"""The ids by which clients know their chats and messages, and who was just shown a reply."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.steps import commit

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and the indexes by which they are unique.

    The previous release knows none of them. What it inserts has no client's ids, and is found by ids of our own.

    Each step is a transaction of its own. Where one fails, those before are done already when this is tried again.
    """
    for table in ("chats", "messages"):
        op.add_column(table, sa.Column("client_id", sa.Text(), nullable=True), if_not_exists=True)
        commit()
    op.add_column("generations", sa.Column("views", postgresql.JSONB(), nullable=True), if_not_exists=True)
    # Concurrently: there may be many messages. A build that failed leaves an unusable index.
    with op.get_context().autocommit_block():
        for table, owner in (("chats", "user_id"), ("messages", "chat_id")):
            name = f"uq_{table}_{owner}_client_id"
            op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
            op.create_index(
                name,
                table,
                [owner, "client_id"],
                unique=True,
                postgresql_where=sa.text("client_id IS NOT NULL"),
                postgresql_concurrently=True,
            )


def downgrade() -> None:
    """Drop them. Chats and messages stay, and are found by ids of our own."""
    op.drop_column("generations", "views")
    for table, owner in (("chats", "user_id"), ("messages", "chat_id")):
        op.drop_index(f"uq_{table}_{owner}_client_id", table)
        op.drop_column(table, "client_id")
