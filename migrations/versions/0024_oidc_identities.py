"""Identities at OpenID providers, and accounts without a password."""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

from migrations.steps import commit

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

LEFT_OUT = (
    "{count} accounts have no password, and the release before would let nobody into them: go back with the code alone,"
    " or delete these accounts or lock them first (docs/operations.md, Providers)"
)


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
    """Drop the table, unless somebody would be locked out by that.

    The release before takes no identity, and its accounts have passwords. So accounts without one would open to nobody.

    Raises:
        CommandError: there are such accounts. Nothing has changed.

    """
    op.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")  # so that no sign-up by a provider comes in between
    (count,) = op.get_bind().execute(sa.text("SELECT count(*) FROM users WHERE password_hash IS NULL")).one()
    if count:
        raise CommandError(LEFT_OUT.format(count=count))
    op.drop_table("oidc_identities")
    op.alter_column("users", "password_hash", nullable=False)
