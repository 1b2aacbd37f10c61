"""The trash: chats that their user has deleted and may restore."""

import sqlalchemy as sa
from alembic import op

from migrations.steps import commit

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the indexes of the trash.

    The previous release shows chats in the trash as any other, and restores none. What it does there is undone by the sweep.

    Each step is a transaction of its own. Where one fails, those before are done already when this is tried again.
    """
    op.add_column("chats", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True), if_not_exists=True)
    op.add_column("chats", sa.Column("trashed_client_id", sa.Text(), nullable=True), if_not_exists=True)
    commit()
    # Concurrently: there may be many chats. A build that failed leaves an unusable index.
    with op.get_context().autocommit_block():
        indexes: tuple[tuple[str, list[str | sa.TextClause]], ...] = (
            ("ix_chats_user_id_trash", ["user_id", sa.text("deleted_at DESC"), sa.text("id DESC")]),
            ("ix_chats_deleted_at", ["deleted_at"]),
        )
        for name, columns in indexes:
            op.drop_index(name, "chats", if_exists=True, postgresql_concurrently=True)
            op.create_index(
                name,
                "chats",
                columns,
                postgresql_where=sa.text("deleted_at IS NOT NULL"),
                postgresql_concurrently=True,
            )


def downgrade() -> None:
    """Drop the columns. What is in the trash is deleted for good: else it would be shown again."""
    op.execute("DELETE FROM generations USING chats WHERE chats.id = chat_id AND deleted_at IS NOT NULL")
    op.execute("DELETE FROM chats WHERE deleted_at IS NOT NULL")
    op.drop_index("ix_chats_deleted_at", "chats")
    op.drop_index("ix_chats_user_id_trash", "chats")
    op.drop_column("chats", "trashed_client_id")
    op.drop_column("chats", "deleted_at")
