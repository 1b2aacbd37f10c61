"""Generations that await a person's approval, and chats that have rows of a user's database."""

import sqlalchemy as sa
from alembic import op

from migrations.steps import commit

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

STATUSES = ("waiting", "queued", "running", "completed", "failed", "cancelled")
LIVE = "uq_generations_chat_id_live"
AWAITING = "ix_generations_awaiting_approval"


def upgrade() -> None:
    """Allow the status, and let a chat have one generation that is queued, runs or awaits an approval.

    The index keeps its name, by which processes of the previous release know what a refused insert means. They take a
    generation that awaits an approval for one that is none of theirs.

    Each step is a transaction of its own. Where one fails, those before are done already when this is tried again.
    """
    has_rows: sa.Column[bool] = sa.Column("has_rows", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    op.add_column("chats", has_rows, if_not_exists=True)
    commit()
    _allow(*STATUSES, "awaiting_approval")
    _index_live("status IN ('queued', 'running', 'awaiting_approval')")
    with op.get_context().autocommit_block():
        op.drop_index(AWAITING, "generations", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            AWAITING,
            "generations",
            ["id"],
            postgresql_where=sa.text("status = 'awaiting_approval'"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    """Queue what awaits an approval: a worker of the release before says that it has no such tool, and goes on."""
    op.execute("UPDATE generations SET status = 'queued', queued_at = now() WHERE status = 'awaiting_approval'")
    op.drop_index(AWAITING, "generations")
    commit()
    _index_live("status IN ('queued', 'running')")
    _allow(*STATUSES)
    op.drop_column("chats", "has_rows")


def _allow(*statuses: str) -> None:
    """Not valid at first: all rows are read without a lock that anybody waits for."""
    named = ", ".join(repr(status) for status in statuses)
    name = op.f("ck_generations_status")
    op.drop_constraint(name, "generations", if_exists=True)
    op.create_check_constraint(name, "generations", f"status IN ({named})", postgresql_not_valid=True)
    commit()
    op.execute(f"ALTER TABLE generations VALIDATE CONSTRAINT {name}")
    commit()


def _index_live(where: str) -> None:
    """Put another index in the place of the one of this name, without a moment in which there is none."""
    new = f"{LIVE}_new"
    with op.get_context().autocommit_block():
        op.drop_index(new, "generations", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            new, "generations", ["chat_id"], unique=True, postgresql_where=sa.text(where), postgresql_concurrently=True
        )
    op.drop_index(LIVE, "generations", if_exists=True)
    op.execute(f"ALTER INDEX {new} RENAME TO {LIVE}")
    commit()
