"""Generations that wait behind their chat's live one, slots that bound how many a user has open, receipts that last."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OPEN = sa.text("status IN ('waiting', 'queued', 'running')")


def upgrade() -> None:
    """Admit the status, add the columns, and give a slot to each generation that is open now."""
    op.drop_constraint(op.f("ck_generations_status"), "generations")
    op.create_check_constraint(
        op.f("ck_generations_status"),
        "generations",
        "status IN ('waiting', 'queued', 'running', 'completed', 'failed', 'cancelled')",
    )
    # No default: an API of the version before, still running, makes rows without one, and they are never refused.
    op.add_column("generations", sa.Column("slot", sa.BigInteger(), nullable=True))
    op.add_column("generations", sa.Column("final_sequence", sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE generations SET slot = numbered.slot FROM ("
        " SELECT id, row_number() OVER (PARTITION BY user_id ORDER BY id) - 1 AS slot FROM generations"
        " WHERE status IN ('queued', 'running')"
        ") AS numbered WHERE numbered.id = generations.id"
    )
    op.create_index(
        "uq_generations_user_id_slot", "generations", ["user_id", "slot"], unique=True, postgresql_where=OPEN
    )
    op.create_index(
        "ix_generations_waiting",
        "generations",
        ["chat_id", "user_message_id"],
        unique=False,
        postgresql_where=sa.text("status = 'waiting'"),
    )


def downgrade() -> None:
    """Cancel what waits, and drop the rest."""
    op.execute("UPDATE generations SET status = 'cancelled', finished_at = now() WHERE status = 'waiting'")
    op.drop_index("ix_generations_waiting", "generations")
    op.drop_index("uq_generations_user_id_slot", "generations")
    op.drop_column("generations", "final_sequence")
    op.drop_column("generations", "slot")
    op.drop_constraint(op.f("ck_generations_status"), "generations")
    op.create_check_constraint(
        op.f("ck_generations_status"),
        "generations",
        "status IN ('queued', 'running', 'completed', 'failed', 'cancelled')",
    )
