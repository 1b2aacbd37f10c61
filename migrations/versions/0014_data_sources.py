"""Data sources, the operations that change them, and the log of what was done."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.steps import commit

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

KEEP_LOG = """
CREATE OR REPLACE FUNCTION keep_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM users WHERE id = OLD.user_id) THEN
        RETURN OLD;  -- goes with its account
    END IF;
    RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'insufficient_privilege';
END $$
"""


def _time(name: str, *, now: bool = False, nullable: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def upgrade() -> None:
    """Add the tables. The previous release knows none of them.

    Each step is a transaction of its own. Where one fails, those before are done already when this is tried again.
    """
    op.create_table(
        "data_sources",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reader_url", sa.LargeBinary(), nullable=False),
        sa.Column("writer_url", sa.LargeBinary(), nullable=True),
        sa.Column("trusted_functions", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        _time("checked_at", nullable=True),
        sa.Column("schema", postgresql.JSONB(), nullable=True),
        _time("schema_read_at", nullable=True),
        _time("created_at", now=True),
        _time("updated_at", now=True),
        sa.CheckConstraint("kind IN ('postgresql', 'sandbox')", name=op.f("ck_data_sources_kind")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_data_sources_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_sources")),
        if_not_exists=True,
    )
    op.create_index(
        "uq_data_sources_user_id_name",
        "data_sources",
        ["user_id", sa.text("lower(name)")],
        unique=True,
        if_not_exists=True,
    )
    op.create_index(
        "uq_data_sources_user_id_sandbox",
        "data_sources",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'sandbox'"),
        if_not_exists=True,
    )
    commit()
    op.create_table(
        "operations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("data_source_id", sa.BigInteger(), nullable=True),
        sa.Column("chat_id", sa.BigInteger(), nullable=True),
        sa.Column("generation_id", sa.Uuid(), nullable=True),
        sa.Column("call_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=True),
        sa.Column("preview", postgresql.JSONB(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("undo_of", sa.Uuid(), nullable=True),
        sa.Column("before_images", sa.LargeBinary(), nullable=True),
        sa.Column("result", postgresql.JSONB(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("attempt", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        _time("lease_expires_at", nullable=True),
        sa.Column("xid", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        _time("created_at", now=True),
        _time("expires_at"),
        _time("decided_at", nullable=True),
        _time("finished_at", nullable=True),
        sa.CheckConstraint(
            "kind IN ('write', 'undo', 'delete_chats', 'restore_chats', 'tool_call')", name=op.f("ck_operations_kind")
        ),
        sa.CheckConstraint(
            "status IN ('proposed', 'approved', 'committed', 'refused', 'stale', 'expired', 'failed')",
            name=op.f("ck_operations_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
        if_not_exists=True,
    )
    indexes: tuple[tuple[str, list[str | sa.TextClause], bool, str | None], ...] = (
        ("ix_operations_user_id_created_at", ["user_id", sa.text("created_at DESC"), sa.text("id DESC")], False, None),
        ("uq_operations_generation_id_call_id", ["generation_id", "call_id"], True, "generation_id IS NOT NULL"),
        ("ix_operations_data_source_id", ["data_source_id"], False, None),
        ("ix_operations_chat_id", ["chat_id"], False, "chat_id IS NOT NULL"),
        ("ix_operations_expires_at", ["expires_at"], False, "status = 'proposed'"),
        ("ix_operations_approved", ["lease_expires_at"], False, "status = 'approved'"),
        ("uq_operations_undo_of", ["undo_of"], True, "status IN ('proposed', 'approved', 'committed')"),
    )
    for name, columns, unique, where in indexes:
        condition = sa.text(where) if where else None
        op.create_index(name, "operations", columns, unique=unique, postgresql_where=condition, if_not_exists=True)
    for column, table, on_delete in (
        ("user_id", "users", "CASCADE"),
        ("data_source_id", "data_sources", "CASCADE"),
        ("chat_id", "chats", "SET NULL"),
        ("generation_id", "generations", "SET NULL"),
        ("undo_of", "operations", "CASCADE"),
    ):
        name = f"fk_operations_{column}"
        op.drop_constraint(name, "operations", if_exists=True)
        op.create_foreign_key(name, "operations", table, [column], ["id"], ondelete=on_delete)
        commit()  # a constraint locks the table that it names, and no two are locked at a time
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        _time("at"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_audit_log_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        if_not_exists=True,
    )
    op.create_index("uq_audit_log_user_id_number", "audit_log", ["user_id", "number"], unique=True, if_not_exists=True)
    op.execute(KEEP_LOG)
    op.execute(
        "CREATE OR REPLACE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON audit_log"
        " FOR EACH ROW EXECUTE FUNCTION keep_audit_log()"
    )
    op.execute(
        "CREATE OR REPLACE TRIGGER keep_table BEFORE TRUNCATE ON audit_log"
        " FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_log()"
    )


def downgrade() -> None:
    """Drop the tables: data sources have to be connected again, and what was proposed is gone."""
    op.drop_table("audit_log")
    op.execute("DROP FUNCTION keep_audit_log()")
    op.drop_table("operations")
    op.drop_table("data_sources")
