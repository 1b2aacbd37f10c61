"""What admins do to accounts, and a daily quota of a user's own."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.steps import commit

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

KEEP_ACTS = """
CREATE OR REPLACE FUNCTION keep_admin_acts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'admin_acts is append-only' USING ERRCODE = 'insufficient_privilege';
END $$
"""


def upgrade() -> None:
    """Add the table and the column. The previous release knows neither: there, the setting's quota holds for everybody."""
    op.create_table(
        "admin_acts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("credential_id", sa.BigInteger(), nullable=True),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=True),
        sa.Column("details", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.CheckConstraint("credential IN ('session', 'api_key', 'command')", name=op.f("ck_admin_acts_credential")),
        sa.CheckConstraint("(actor_id IS NULL) = (credential = 'command')", name=op.f("ck_admin_acts_actor")),
        sa.CheckConstraint("length(details::text) <= 2000", name=op.f("ck_admin_acts_details")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admin_acts")),
        if_not_exists=True,
    )
    op.create_index("ix_admin_acts_subject_id", "admin_acts", ["subject_id", "id"], if_not_exists=True)
    op.create_index("ix_admin_acts_actor_id", "admin_acts", ["actor_id", "id"], if_not_exists=True)
    op.execute(KEEP_ACTS)
    op.execute(
        "CREATE OR REPLACE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON admin_acts"
        " FOR EACH ROW EXECUTE FUNCTION keep_admin_acts()"
    )
    op.execute(
        "CREATE OR REPLACE TRIGGER keep_table BEFORE TRUNCATE ON admin_acts"
        " FOR EACH STATEMENT EXECUTE FUNCTION keep_admin_acts()"
    )
    commit()
    op.add_column("users", sa.Column("daily_tokens", sa.BigInteger(), nullable=True), if_not_exists=True)
    name = op.f("ck_users_daily_tokens")
    op.drop_constraint(name, "users", if_exists=True)
    op.create_check_constraint(name, "users", "daily_tokens >= 0", postgresql_not_valid=True)
    commit()
    op.execute(f"ALTER TABLE users VALIDATE CONSTRAINT {name}")


def downgrade() -> None:
    """Forget what admins have done, and the quotas of users' own."""
    op.drop_constraint(op.f("ck_users_daily_tokens"), "users")
    op.drop_column("users", "daily_tokens")
    op.drop_table("admin_acts")
    op.execute("DROP FUNCTION keep_admin_acts()")
