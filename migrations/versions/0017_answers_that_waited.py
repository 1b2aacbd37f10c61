"""Where the log of an answer that waits for a decision ends, since when an answer is queued, and the undos of an operation."""

import sqlalchemy as sa
from alembic import op

from migrations.steps import commit

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

UNDOS = "ix_operations_undo_of"


def upgrade() -> None:
    """Add what an answer needs that goes on after a decision. The index serves deletions, which look for undos.

    A system that followed the development between two releases may have the columns and the index already.
    """
    op.add_column("generations", sa.Column("log_length", sa.BigInteger(), nullable=True), if_not_exists=True)
    since = sa.Column("in_queue_since", sa.DateTime(timezone=True), nullable=True)
    op.add_column("generations", since, if_not_exists=True)
    commit()
    with op.get_context().autocommit_block():
        op.drop_index(UNDOS, "operations", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            UNDOS,
            "operations",
            ["undo_of"],
            postgresql_where=sa.text("undo_of IS NOT NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    """Forget this: releases before do without."""
    op.drop_index(UNDOS, "operations")
    op.drop_column("generations", "in_queue_since")
    op.drop_column("generations", "log_length")
