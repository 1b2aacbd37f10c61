"""Invites: permissions to make one account, each with a link that is shown once, and with one that is mailed."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, insert, or_, select

from shared.accounts.addresses import is_same_mailbox
from shared.accounts.links import add_link, ends_after
from shared.accounts.mails import add_mail
from shared.accounts.tokens import hash_token
from shared.admin_acts import Actor, record
from shared.database.engine import Connection
from shared.database.tables import AccountInvite, AccountLink


class NewInvite(NamedTuple):
    """An invite that was just made. `token` is that of the link to show, and is kept nowhere.

    `mail_id` is the mail's with another link; None where none is sent.
    """

    id: int
    token: str
    expires_at: datetime
    mail_id: int | None


class UsedInvite(NamedTuple):
    """An invite that is used up now. `proves_address`: its link was mailed to the address of the new account."""

    id: int
    proves_address: bool


async def make_invite(
    db: Connection, actor: Actor, lifetime: timedelta, *, email: str | None, by_mail: bool
) -> NewInvite:
    """Make an invite, and note the act. Needs a transaction.

    `email` is the only address that may use it, None for any. `by_mail`: mail a link there too, where an address is named.
    The mailed link has a token of its own: who comes with that one reads mail at the address, who comes with the other
    need not.
    """
    values = {"email": email, "created_by": actor.user_id, "expires_at": ends_after(lifetime)}
    made = insert(AccountInvite).values(values).returning(AccountInvite.id, AccountInvite.expires_at)
    invite_id, expires_at = (await db.execute(made)).one()
    token = await add_link(db, "invite", expires_at, mailed_to=None, invite_id=invite_id)
    mail_id = await add_mail(db, "invite", email, invite_id=invite_id) if by_mail and email is not None else None
    bound, mailed = email is not None, mail_id is not None
    await db.execute(record(actor, "invite.made", None, invite=invite_id, bound=bound, mailed=mailed))
    return NewInvite(invite_id, token, expires_at, mail_id)


async def remove_invite(db: Connection, actor: Actor, invite_id: int) -> bool:
    """Take an invite back, with its links and the mail that waits, and note the act. False where there is none.

    Needs a transaction.
    """
    removed = delete(AccountInvite).where(AccountInvite.id == invite_id).returning(AccountInvite.id)
    if (await db.execute(removed)).one_or_none() is None:
        return False
    await db.execute(record(actor, "invite.removed", None, invite=invite_id))
    return True


async def is_good(db: Connection, token: str, email: str) -> bool:
    """Whether an invite can be used by this address now. Using it looks again."""
    return (await db.execute(select(AccountInvite.id).join(AccountLink).where(*_is(token, email)))).first() is not None


async def use_invite(db: Connection, token: str, email: str) -> UsedInvite | None:
    """Use an invite up, with all of its links. Needs a transaction: without the account, the invite must stay.

    None where it is gone, has ended, or names another address. Of several who use it at once, one gets it.
    """
    found = select(AccountInvite.id, AccountLink.mailed_to).join(AccountLink).where(*_is(token, email))
    row = (await db.execute(found)).one_or_none()
    if row is None:
        return None
    invite_id, mailed_to = row
    used = delete(AccountInvite).where(AccountInvite.id == invite_id).returning(AccountInvite.id)
    if (await db.execute(used)).one_or_none() is None:
        return None
    return UsedInvite(invite_id, mailed_to is not None)


def _is(token: str, email: str) -> tuple[ColumnElement[bool], ...]:
    return (
        AccountLink.token_hash == hash_token(token),
        AccountLink.purpose == "invite",
        AccountLink.expires_at > func.now(),
        AccountInvite.expires_at > func.now(),
        or_(AccountInvite.email.is_(None), is_same_mailbox(AccountInvite.email, email)),
    )
