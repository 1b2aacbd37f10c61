"""Sessions of programs that log in with tokens, their refresh tokens, and from where a session was begun."""

import sqlalchemy as sa
from alembic import op

from migrations.steps import commit

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns and a table. Processes of the release before go on to make sessions of cookies, which is the default.

    A session of tokens is none that they take a cookie for: no cookie has the form of what its hash was made of.
    """
    kind = sa.Column("kind", sa.Text(), server_default="cookie", nullable=False)
    op.add_column("sessions", kind, if_not_exists=True)
    op.add_column("sessions", sa.Column("network", sa.Text(), nullable=True), if_not_exists=True)
    name = op.f("ck_sessions_kind")
    op.drop_constraint(name, "sessions", if_exists=True)
    op.create_check_constraint(name, "sessions", "kind IN ('cookie', 'tokens')", postgresql_not_valid=True)
    commit()
    op.execute(f"ALTER TABLE sessions VALIDATE CONSTRAINT {name}")
    commit()
    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("successor", sa.LargeBinary(), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_refresh_tokens_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_tokens")),
        if_not_exists=True,
    )
    op.create_index("uq_refresh_tokens_token_hash", "refresh_tokens", ["token_hash"], unique=True, if_not_exists=True)
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"], unique=False, if_not_exists=True)


def downgrade() -> None:
    """Drop the table and the columns. Whoever was logged in with tokens logs in again."""
    op.drop_table("refresh_tokens")
    op.execute("DELETE FROM sessions WHERE kind = 'tokens'")
    op.drop_constraint(op.f("ck_sessions_kind"), "sessions")
    op.drop_column("sessions", "network")
    op.drop_column("sessions", "kind")
