"""What links change of accounts."""

from collections.abc import Mapping

from sqlalchemy import func, update

from shared.accounts.links import FoundLink, use_link
from shared.accounts.mails import void_links
from shared.database.engine import Connection
from shared.database.tables import User
from shared.errors import LinkInvalid


async def verify_email(db: Connection, found: FoundLink, token: str) -> None:
    """Note that the account's owner reads mail at the account's address. Needs a transaction.

    Raises:
        LinkInvalid: the link was used, the address was changed, or the account was disabled, a moment ago.

    """
    await _change(db, found, {"email_verified_at": func.now()})
    if not await use_link(db, token, "verify_email"):
        raise LinkInvalid
    await void_links(db, found.user_id, "verify_email")


async def reset_password(db: Connection, found: FoundLink, token: str, password_hash: str) -> None:
    """Keep the hash of another password. Needs a transaction. Whoever has the link reads mail at the account's address.

    Raises:
        LinkInvalid: as `verify_email`; or who may log in was changed a moment ago, with which all links end.

    """
    new = {
        "password_hash": password_hash,
        "credentials_version": User.credentials_version + 1,
        "email_verified_at": func.coalesce(User.email_verified_at, func.now()),
    }
    await _change(db, found, new)
    if not await use_link(db, token, "reset_password"):
        raise LinkInvalid
    await void_links(db, found.user_id)


async def _change(db: Connection, found: FoundLink, values: Mapping[str, object]) -> None:
    """Change the account of a link: first, since all who change an account take its lock before anything else."""
    same = User.id == found.user_id, User.email == found.mailed_to, User.disabled_at.is_(None)
    changed = update(User).where(*same).values(values).returning(User.id)
    if (await db.execute(changed)).one_or_none() is None:
        raise LinkInvalid
