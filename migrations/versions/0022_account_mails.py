"""Mails that wait to be sent, links that were mailed or shown, and invites."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

from migrations.steps import commit

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_KINDS = (
    "'verify_email', 'reset_password', 'invite', 'password_changed', 'password_reset', 'email_changed', "
    "'second_factor_on', 'second_factor_off', 'identity_linked', 'identity_removed'"
)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _time(name: str, *, default: bool = True) -> sa.Column[datetime]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()") if default else None, nullable=False
    )


def upgrade() -> None:
    """Add the tables. The previous release knows none of them."""
    op.create_table(
        "account_invites",
        _id(),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        _time("created_at"),
        _time("expires_at", default=False),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_account_invites_created_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_invites")),
        if_not_exists=True,
    )
    for column in ("created_by", "expires_at"):
        op.create_index(f"ix_account_invites_{column}", "account_invites", [column], if_not_exists=True)
    commit()
    op.create_table(
        "account_links",
        _id(),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("invite_id", sa.BigInteger(), nullable=True),
        sa.Column("mailed_to", sa.Text(), nullable=True),
        _time("created_at"),
        _time("expires_at", default=False),
        sa.CheckConstraint(
            "purpose IN ('verify_email', 'reset_password', 'invite')", name=op.f("ck_account_links_purpose")
        ),
        sa.CheckConstraint("(user_id IS NULL) <> (invite_id IS NULL)", name=op.f("ck_account_links_owner")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_account_links_user_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["invite_id"], ["account_invites.id"], name=op.f("fk_account_links_invite_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_links")),
        if_not_exists=True,
    )
    op.create_index("uq_account_links_token_hash", "account_links", ["token_hash"], unique=True, if_not_exists=True)
    for column in ("user_id", "invite_id", "expires_at"):
        op.create_index(f"ix_account_links_{column}", "account_links", [column], if_not_exists=True)
    commit()
    op.create_table(
        "account_mails",
        _id(),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("invite_id", sa.BigInteger(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        _time("created_at"),
        _time("due_at"),
        _time("queued_at"),
        sa.Column("attempt", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name=op.f("ck_account_mails_kind")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_account_mails_user_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["invite_id"], ["account_invites.id"], name=op.f("fk_account_mails_invite_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_mails")),
        if_not_exists=True,
    )
    for column in ("user_id", "invite_id", "created_at", "due_at"):
        op.create_index(f"ix_account_mails_{column}", "account_mails", [column], if_not_exists=True)
    address = sa.text("lower(address)")
    op.create_index("ix_account_mails_address_lower", "account_mails", [address], if_not_exists=True)


def downgrade() -> None:
    """Forget the mails that wait, and void all links and invites."""
    op.drop_table("account_mails")
    op.drop_table("account_links")
    op.drop_table("account_invites")
