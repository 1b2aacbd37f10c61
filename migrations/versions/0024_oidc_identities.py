"""Identities at OpenID providers, and accounts without a password."""

import sqlalchemy as sa
from alembic import op

from migrations.steps import commit

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table. An account without a password is made only once OIDC_PROVIDERS is set, by an API of this release."""
    op.alter_column("users", "password_hash", nullable=True)
    commit()
    op.create_table(
        "oidc_identities",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_oidc_identities_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oidc_identities")),
        if_not_exists=True,
    )
    unique = "uq_oidc_identities_issuer_subject"
    op.create_index(unique, "oidc_identities", ["issuer", "subject"], unique=True, if_not_exists=True)
    op.create_index("ix_oidc_identities_user_id", "oidc_identities", ["user_id"], unique=False, if_not_exists=True)


def downgrade() -> None:
    """Drop the table. Accounts without a password stay, locked: what takes its place is the hash of no password."""
    op.drop_table("oidc_identities")
    op.execute("UPDATE users SET password_hash = '!' WHERE password_hash IS NULL")
    op.alter_column("users", "password_hash", nullable=False)
