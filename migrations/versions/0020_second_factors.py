"""Second factors, recovery codes, when the person of a session has last proved the password, and changes of credentials."""

import sqlalchemy as sa
from alembic import op

from migrations.steps import commit

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and the columns. The previous release knows none of them, and its new rows get the defaults."""
    op.create_table(
        "second_factors",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("totp_secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_second_factors_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_second_factors")),
        if_not_exists=True,
    )
    op.create_index("uq_second_factors_user_id", "second_factors", ["user_id"], unique=True, if_not_exists=True)
    op.create_table(
        "recovery_codes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_recovery_codes_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
        if_not_exists=True,
    )
    of_codes = ["user_id", "code_hash"]
    op.create_index("uq_recovery_codes_user_id_code_hash", "recovery_codes", of_codes, unique=True, if_not_exists=True)
    commit()
    version = sa.Column("credentials_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    op.add_column("users", version, if_not_exists=True)
    commit()
    # Of sessions before this, nobody knows when their persons have proved anything. No row is written for that.
    unknown = sa.text("'2000-01-01T00:00:00Z'")
    since = sa.Column("authenticated_at", sa.DateTime(timezone=True), server_default=unknown, nullable=False)
    op.add_column("sessions", since, if_not_exists=True)
    op.alter_column("sessions", "authenticated_at", server_default=sa.text("now()"))


def downgrade() -> None:
    """Forget all second factors: whoever had one logs in by the password alone."""
    op.drop_column("sessions", "authenticated_at")
    op.drop_column("users", "credentials_version")
    op.drop_table("recovery_codes")
    op.drop_table("second_factors")
