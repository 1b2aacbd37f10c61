"""Facts beside a chat's summary, summaries as rows that are due, tool steps that survive, and what each model call took."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table. The previous release knows none of them and leaves them at their defaults."""
    op.add_column("chats", sa.Column("title_by", sa.Text(), nullable=True))
    op.add_column("chats", sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("chats", sa.Column("memory_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("chats", sa.Column("summary_due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("chats", sa.Column("summary_hinted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("chats", sa.Column("summary_failures", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_check_constraint(op.f("ck_chats_title_by"), "chats", "title_by IN ('message', 'model', 'user')")
    op.create_index(
        "ix_chats_summary_due_at",
        "chats",
        ["summary_due_at"],
        unique=False,
        postgresql_where=sa.text("summary_due_at IS NOT NULL"),
    )
    op.add_column("generations", sa.Column("steps", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.create_table(
        "model_calls",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=True),
        sa.Column("generation_id", sa.Uuid(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("total_tokens", sa.BigInteger(), nullable=False),
        sa.Column("is_estimate", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("purpose IN ('generation', 'summary', 'title')", name=op.f("ck_model_calls_purpose")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_model_calls_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_calls")),
    )
    op.create_index(
        "ix_model_calls_user_id_created_at",
        "model_calls",
        ["user_id", "created_at"],
        unique=False,
        postgresql_include=["total_tokens"],
    )


def downgrade() -> None:
    """Drop them, and what is in them."""
    op.drop_table("model_calls")
    op.drop_column("generations", "steps")
    op.drop_index("ix_chats_summary_due_at", "chats")
    op.drop_constraint(op.f("ck_chats_title_by"), "chats")
    for column in ("summary_failures", "summary_due_at", "memory_version", "facts", "title_by"):
        op.drop_column("chats", column)
