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

    Workers of the previous release know no parameters, and would answer without them. The constraint refuses their claims, so
    that such a generation waits for a worker of this release.

    Each step is a transaction of its own. Where one fails, those before are done already when this is tried again.
    """
    op.add_column("generations", sa.Column("parameters", JSONB(), nullable=True), if_not_exists=True)
    op.add_column("generations", sa.Column("parameters_attempt", sa.BigInteger(), nullable=True), if_not_exists=True)
    name = op.f("ck_generations_parameters")
    op.drop_constraint(name, "generations", if_exists=True)
    condition = "parameters IS NULL OR status <> 'running' OR coalesce(parameters_attempt = attempt, false)"
    op.create_check_constraint(name, "generations", condition, postgresql_not_valid=True)
    commit()
    op.execute(f"ALTER TABLE generations VALIDATE CONSTRAINT {name}")
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
    op.drop_constraint(op.f("ck_generations_parameters"), "generations")
    op.drop_column("generations", "parameters_attempt")
    op.drop_column("generations", "parameters")
