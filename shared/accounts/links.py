"""Links that do something once. The database has the SHA-256 of a link's token, and the token is in the link alone.

The database's clock says when a link ends.
"""

import secrets
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, Interval, cast, delete, func, insert, literal, select

from shared.accounts.state import MAY_LOG_IN
from shared.accounts.tokens import hash_token
from shared.database.engine import Connection
from shared.database.tables import AccountLink, User
from shared.ids import UserId

LinkPurpose = Literal["verify_email", "reset_password", "invite"]
TOKEN_BYTES: Final = 32
PLACES: Final[dict[LinkPurpose, str]] = {
    "verify_email": "#/verify?token=",
    "reset_password": "#/reset?token=",
    "invite": "#/sign-up?invite=",
}
"""Where the page takes a token: behind the #, which browsers send to no server."""


class FoundLink(NamedTuple):
    """A link that is good, and the account to which it belongs.

    `password_hash` is None for an account without a password. `mailed_to` is None where the link was shown.
    """

    user_id: UserId
    email: str
    password_hash: str | None
    mailed_to: str | None


def url_of(public_url: str, purpose: LinkPurpose, token: str) -> str:
    """A link as a person opens it. `public_url` is the page's address, without a slash at its end."""
    return f"{public_url}/{PLACES[purpose]}{token}"


def ends_after(lifetime: timedelta) -> ColumnElement[datetime]:
    """The time, by the database's clock, at which ends what begins now."""
    return func.now() + cast(literal(lifetime), Interval)


async def add_link(
    db: Connection,
    purpose: LinkPurpose,
    expires_at: ColumnElement[datetime] | datetime,
    *,
    mailed_to: str | None,
    user_id: UserId | None = None,
    invite_id: int | None = None,
) -> str:
    """Make a link of a user's, or of an invite. Returns its token, which is kept nowhere."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    values = {
        "token_hash": hash_token(token),
        "purpose": purpose,
        "user_id": user_id,
        "invite_id": invite_id,
        "mailed_to": mailed_to,
        "expires_at": expires_at,
    }
    await db.execute(insert(AccountLink).values(values))
    return token


async def find_link(db: Connection, token: str, purpose: LinkPurpose) -> FoundLink | None:
    """The link of a user's with this token. None where there is none for this purpose, or it has ended.

    A user whom an admin keeps out has no links.
    """
    statement = (
        select(User.id, User.email, User.password_hash, AccountLink.mailed_to)
        .join(User, User.id == AccountLink.user_id)
        .where(*_is(token, purpose), MAY_LOG_IN)
    )
    row = (await db.execute(statement)).one_or_none()
    return FoundLink._make(row) if row else None


async def use_link(db: Connection, token: str, purpose: LinkPurpose) -> bool:
    """Use a link of a user's up. False where it is gone: of several who use it at once, one gets True."""
    used = delete(AccountLink).where(*_is(token, purpose)).returning(AccountLink.id)
    return (await db.execute(used)).one_or_none() is not None


def _is(token: str, purpose: LinkPurpose) -> tuple[ColumnElement[bool], ...]:
    return (
        AccountLink.token_hash == hash_token(token),
        AccountLink.purpose == purpose,
        AccountLink.expires_at > func.now(),
    )
