"""Sessions of browsers that log in with a cookie."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table. The previous release does not know it."""
    op.create_table(
        "sessions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        if_not_exists=True,
    )
    op.create_index("uq_sessions_token_hash", "sessions", ["token_hash"], unique=True, if_not_exists=True)
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"], unique=False, if_not_exists=True)
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"], unique=False, if_not_exists=True)


def downgrade() -> None:
    """Drop the table. Whoever was logged in with a cookie logs in again."""
    op.drop_table("sessions")
