"""Segments and facts in tables of their own, chats that are temporary, and whether chats share facts."""

import sqlalchemy as sa
from alembic import op

from migrations.steps import commit

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SHARED_FACTS = (
    "kind IN ('identity', 'health', 'preference', 'instruction') AND source IN ('user', 'edited')"
    " AND replaced_by IS NULL AND forgotten_at IS NULL"
)


def upgrade() -> None:
    """Add the tables and columns.

    The previous release goes on with the columns `summary` and `facts`. What it has summarized, and summarizes meanwhile, is
    taken over when the chat's memory is next read (shared/memory/take_over.py).

    Each step is a transaction of its own. Where one fails, those before are done already when this is tried again.
    """
    is_temporary: sa.Column[bool] = sa.Column(
        "is_temporary", sa.Boolean(), server_default=sa.text("false"), nullable=False
    )
    shares_memory: sa.Column[bool] = sa.Column(
        "shares_memory", sa.Boolean(), server_default=sa.text("false"), nullable=False
    )
    for step in (
        _add_segments,
        _add_facts,
        lambda: op.add_column("chats", is_temporary, if_not_exists=True),
        lambda: op.add_column("users", shares_memory, if_not_exists=True),
    ):
        step()
        commit()
    # A build that failed leaves an unusable index.
    with op.get_context().autocommit_block():
        op.drop_index("ix_chats_temporary", "chats", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            "ix_chats_temporary",
            "chats",
            ["last_message_at"],
            unique=False,
            postgresql_where=sa.text("is_temporary"),
            postgresql_concurrently=True,
        )
        # What users wrote into chats in which nothing is summarized. All other chats show that they are to be taken over: their
        # segments end elsewhere than at the watermark.
        op.execute("""
            INSERT INTO memory_segments (chat_id, first_position, last_position, text, kind)
            SELECT id, 0, 0, summary, 'edited' FROM chats WHERE summary_position = 0 AND summary IS NOT NULL
            ON CONFLICT (chat_id, first_position) DO NOTHING
        """)
        op.execute("""
            INSERT INTO memory_facts (user_id, chat_id, kind, text, source, is_pinned)
            SELECT user_id, id, 'other', left(fact ->> 'text', 200), 'edited', coalesce(fact ->> 'pinned' = 'true', false)
            FROM chats CROSS JOIN jsonb_array_elements(
                CASE jsonb_typeof(chats.facts) WHEN 'array' THEN chats.facts ELSE '[]' END
            ) WITH ORDINALITY AS listed (fact, place)
            WHERE summary_position = 0 AND coalesce(fact ->> 'text', '') <> ''
                AND NOT EXISTS (SELECT 1 FROM memory_facts WHERE chat_id = chats.id)
            ORDER BY id, place
        """)


def _add_segments() -> None:
    op.create_table(
        "memory_segments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("first_position", sa.BigInteger(), nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tries", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("first_position BETWEEN 0 AND last_position", name=op.f("ck_memory_segments_positions")),
        sa.CheckConstraint("kind IN ('summary', 'extract', 'edited')", name=op.f("ck_memory_segments_kind")),
        sa.ForeignKeyConstraint(["chat_id"], ["chats.id"], name=op.f("fk_memory_segments_chat_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_segments")),
        if_not_exists=True,
    )
    op.create_index(
        "uq_memory_segments_chat_id_first_position",
        "memory_segments",
        ["chat_id", "first_position"],
        unique=True,
        if_not_exists=True,
    )


def _add_facts() -> None:
    op.create_table(
        "memory_facts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=True),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("attribute", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("value", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("quote", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("is_pinned", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("replaced_by", sa.BigInteger(), nullable=True),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("forgotten_by", sa.Text(), nullable=True),
        sa.Column("forgotten_position", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('identity', 'health', 'preference', 'instruction', 'decision', 'relation', 'date', 'number',"
            " 'place', 'other')",
            name=op.f("ck_memory_facts_kind"),
        ),
        sa.CheckConstraint("source IN ('user', 'assistant', 'web', 'edited')", name=op.f("ck_memory_facts_source")),
        sa.CheckConstraint("position >= 1", name=op.f("ck_memory_facts_position")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_memory_facts_user_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["chat_id"], ["chats.id"], name=op.f("fk_memory_facts_chat_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_memory_facts_message_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["replaced_by"], ["memory_facts.id"], name=op.f("fk_memory_facts_replaced_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_facts")),
        if_not_exists=True,
    )
    op.create_index("ix_memory_facts_chat_id", "memory_facts", ["chat_id"], unique=False, if_not_exists=True)
    op.create_index("ix_memory_facts_message_id", "memory_facts", ["message_id"], unique=False, if_not_exists=True)
    op.create_index("ix_memory_facts_replaced_by", "memory_facts", ["replaced_by"], unique=False, if_not_exists=True)
    op.create_index("ix_memory_facts_user_id", "memory_facts", ["user_id"], unique=False, if_not_exists=True)
    op.create_index(
        "ix_memory_facts_shared",
        "memory_facts",
        ["user_id"],
        unique=False,
        postgresql_where=sa.text(SHARED_FACTS),
        if_not_exists=True,
    )


def downgrade() -> None:
    """Drop them. The columns `summary` and `facts` of chats have what chats are told; segments' bounds are lost."""
    op.drop_column("users", "shares_memory")
    op.drop_index("ix_chats_temporary", "chats")
    op.drop_column("chats", "is_temporary")
    op.drop_table("memory_facts")
    op.drop_table("memory_segments")
