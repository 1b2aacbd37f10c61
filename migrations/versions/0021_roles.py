"""Verified addresses, roles, and users who are kept out."""

import sqlalchemy as sa
from alembic import op

from migrations.steps import commit

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


UNVERIFY = """
CREATE OR REPLACE FUNCTION unverify_email() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.email_verified_at = NULL;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Add the columns. The previous release knows none of them, and its new rows get the defaults.

    The previous release changes addresses too. So the database itself sees to it that another address is not taken for verified
    where the statement does not say so.
    """
    op.add_column(
        "users", sa.Column("email_verified_at", sa.DateTime(timezone=True), nullable=True), if_not_exists=True
    )
    op.add_column("users", sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True), if_not_exists=True)
    op.execute(UNVERIFY)
    op.execute(
        "CREATE OR REPLACE TRIGGER unverify_email BEFORE UPDATE OF email ON users FOR EACH ROW"
        " WHEN (NEW.email <> OLD.email AND NEW.email_verified_at IS NOT DISTINCT FROM OLD.email_verified_at)"
        " EXECUTE FUNCTION unverify_email()"
    )
    role = sa.Column("role", sa.Text(), server_default="user", nullable=False)
    op.add_column("users", role, if_not_exists=True)
    name = op.f("ck_users_role")
    op.drop_constraint(name, "users", if_exists=True)
    op.create_check_constraint(name, "users", "role IN ('user', 'admin')", postgresql_not_valid=True)
    commit()
    op.execute(f"ALTER TABLE users VALIDATE CONSTRAINT {name}")


def downgrade() -> None:
    """Make everybody a user who may log in, and forget who has verified the address."""
    op.drop_constraint(op.f("ck_users_role"), "users")
    op.drop_column("users", "role")
    op.drop_column("users", "disabled_at")
    op.execute("DROP TRIGGER unverify_email ON users")
    op.execute("DROP FUNCTION unverify_email()")
    op.drop_column("users", "email_verified_at")
