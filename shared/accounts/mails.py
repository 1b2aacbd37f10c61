"""Mails that wait to be sent: rows, written in the transaction of what causes them. No link is in them.

A worker makes the link when it sends the mail. So nothing in the database opens anything.
"""

from typing import Final, Literal

from sqlalchemy import delete, insert, literal, or_, select

from shared.accounts.addresses import is_same_mailbox
from shared.accounts.links import LinkPurpose
from shared.database.engine import Connection
from shared.database.tables import LINK_PURPOSES, AccountLink, AccountMail, User
from shared.ids import UserId

Notice = Literal[
    "password_changed",
    "password_reset",
    "email_changed",
    "second_factor_on",
    "second_factor_off",
    "identity_linked",
    "identity_removed",
]
"""What the owner of an account is told of."""
MailKind = LinkPurpose | Notice
WITH_LINK: Final[tuple[str, ...]] = LINK_PURPOSES
"""The kinds of mail that have a link."""


async def add_mail(
    db: Connection, kind: MailKind, address: str, *, user_id: UserId | None = None, invite_id: int | None = None
) -> int:
    """Have a mail sent, once the transaction is committed. Returns its id, for the job that wakes a worker.

    A `reset_password` for whoever has this address names neither a user nor an invite.
    """
    values = {"kind": kind, "address": address, "user_id": user_id, "invite_id": invite_id}
    return int((await db.execute(insert(AccountMail).values(values).returning(AccountMail.id))).scalar_one())


async def add_notice(db: Connection, kind: Notice, user_id: UserId) -> int | None:
    """Have the owner of an account told. Returns the mail's id; None where nobody has verified the address.

    Such an address may be a stranger's: who has made the account could have mail sent there without end.
    """
    columns = literal(kind), User.id, User.email
    verified = select(*columns).where(User.id == user_id, User.email_verified_at.is_not(None))
    added = insert(AccountMail).from_select(["kind", "user_id", "address"], verified).returning(AccountMail.id)
    return (await db.execute(added)).scalar_one_or_none()


async def drop_mail(db: Connection, mail_id: int) -> None:
    """Have a mail not sent after all."""
    await db.execute(delete(AccountMail).where(AccountMail.id == mail_id))


async def void_links(db: Connection, user_id: UserId, *purposes: Literal["verify_email", "reset_password"]) -> None:
    """End the links of a user's, those too that wait to be mailed. Needs a transaction that has locked the user's row.

    Without `purposes`, all of them.

    The mails go first: a worker that is making a link holds the mail's row, and its link is there when that row is free.
    """
    address = select(User.email).where(User.id == user_id).scalar_subquery()
    of_user = or_(AccountMail.user_id == user_id, is_same_mailbox(AccountMail.address, address))
    ended = purposes or ("verify_email", "reset_password")
    await db.execute(delete(AccountMail).where(of_user, AccountMail.kind.in_(ended)))
    await db.execute(delete(AccountLink).where(AccountLink.user_id == user_id, AccountLink.purpose.in_(ended)))


async def forget_mails(db: Connection, address: str) -> None:
    """Delete the mails to the address of a user whose row was just deleted, with which went the mails that name the user.

    Not before: a worker that makes a link locks the user before the mail.
    """
    to_address = AccountMail.user_id.is_(None), is_same_mailbox(AccountMail.address, address)
    await db.execute(delete(AccountMail).where(*to_address))
