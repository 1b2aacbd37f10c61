"""What links change of accounts."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, delete, func, select, update

from services.api.accounts.second_factor_queries import delete_factor
from shared.accounts.links import FoundLink, use_link
from shared.accounts.mails import void_links
from shared.accounts.state import MAY_LOG_IN, MAY_SET_PASSWORD
from shared.database.engine import Connection
from shared.database.tables import ApiKey, OidcIdentity, User
from shared.errors import LinkInvalid
from shared.ids import UserId


async def verify_email(db: Connection, user_id: UserId, found: FoundLink, token: str) -> None:
    """Note that this user, who is logged in, reads mail at the address of the account. Needs a transaction.

    Raises:
        LinkInvalid: the link is another user's; or the link was used, the address was changed, or the account was disabled, a
            moment ago.

    """
    if found.user_id != user_id:
        raise LinkInvalid
    await _change(db, found, {"email_verified_at": func.now()})
    if not await use_link(db, token, "verify_email"):
        raise LinkInvalid
    await void_links(db, found.user_id, "verify_email")


async def reset_password(db: Connection, found: FoundLink, token: str, password_hash: str) -> None:
    """Keep the hash of another password, or of a first one. Needs a transaction.

    Whoever has the link reads mail at the account's address.
    Where nobody had shown that before, a stranger may have made the account with this address. So all goes by which that one
    could come in again: identities, API keys, the second factor.

    Raises:
        LinkInvalid: the link was used, or the address, the password or the account's lock was changed, a moment ago. Or the
            account has no password, and nobody has verified its address.

    """
    verified = select(User.email_verified_at.is_not(None)).where(*_is(found), MAY_SET_PASSWORD)
    locked = verified.with_for_update(key_share=True)
    was_verified = (await db.execute(locked)).scalar_one_or_none()
    if was_verified is None:
        raise LinkInvalid
    new = {
        "password_hash": password_hash,
        "credentials_version": User.credentials_version + 1,
        "email_verified_at": func.coalesce(User.email_verified_at, func.now()),
    }
    await _change(db, found, new)
    if not await use_link(db, token, "reset_password"):
        raise LinkInvalid
    await void_links(db, found.user_id)
    if not was_verified:
        for table in (OidcIdentity, ApiKey):
            await db.execute(delete(table).where(table.user_id == found.user_id))
        await delete_factor(db, found.user_id)


async def _change(db: Connection, found: FoundLink, values: Mapping[str, object]) -> None:
    """Change the account of a link: first, since all who change an account take its lock before anything else."""
    changed = update(User).where(*_is(found)).values(values).returning(User.id)
    if (await db.execute(changed)).one_or_none() is None:
        raise LinkInvalid


def _is(found: FoundLink) -> tuple[ColumnElement[bool], ...]:
    """The account of a link, as it was when the link was found."""
    unchanged = User.email == found.mailed_to, User.password_hash.is_not_distinct_from(found.password_hash)
    return (User.id == found.user_id, *unchanged, MAY_LOG_IN)
