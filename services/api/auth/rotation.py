"""Sessions of tokens in the database: each refresh token can be exchanged once, for the next one of its family.

Requests of one client race, and answers get lost. So a token that was exchanged a moment ago gets the very same successor again.
One that was exchanged longer ago is in two hands, and nobody can tell whose are the client's: the session ends.
Source: RFC 9700, section 4.14.
"""

from datetime import timedelta
from math import ceil
from typing import Final, NamedTuple

from cryptography.fernet import InvalidToken
from sqlalchemy import Interval, and_, bindparam, cast, delete, func, insert, literal, select, update
from sqlalchemy.orm import aliased

from services.api.auth.refresh_tokens import RefreshToken, new_family
from services.api.auth.sessions import Lifetimes, NewSession, SessionClient, add_session, renew_session
from shared.accounts.state import MAY_LOG_IN
from shared.database.engine import Connection
from shared.database.tables import RefreshToken as TokenRow
from shared.database.tables import Session, User
from shared.errors import TooManyRequests
from shared.ids import UserId
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

MAX_KEPT: Final = 200
"""How many tokens of a session are kept, most of them used within the grace. No client rotates so fast that does not mean to."""


class Granted(NamedTuple):
    """What a client may go on with: a session, and the refresh token that is next."""

    user_id: UserId
    session: NewSession
    token: RefreshToken


# Built once: building a statement takes longer than running it.
_LOCK: Final = (
    select(Session.id, Session.user_id, func.extract("epoch", Session.expires_at - func.now()).label("lasts"))
    .join(User, and_(User.id == Session.user_id, MAY_LOG_IN))
    .where(Session.token_hash == bindparam("family_hash"), Session.kind == "tokens", Session.expires_at > func.now())
    .with_for_update(of=Session)
)
_OF_SESSION: Final = aliased(TokenRow)
_PRESENTED: Final = select(
    TokenRow.id,
    TokenRow.successor,
    TokenRow.used_at.is_(None).label("is_unused"),
    (TokenRow.used_at >= func.now() - bindparam("grace", type_=Interval)).label("is_in_grace"),
    select(func.count())
    .select_from(_OF_SESSION)
    .where(_OF_SESSION.session_id == bindparam("session_id"))
    .scalar_subquery()
    .label("kept"),
).where(TokenRow.session_id == bindparam("session_id"), TokenRow.token_hash == bindparam("token_hash"))


async def begin_tokens(db: Connection, user_id: UserId, lifetimes: Lifetimes, client: SessionClient) -> Granted:
    """Begin a session of tokens. The user's row must be locked (`add_session`)."""
    token = new_family()
    session = await add_session(db, user_id, token.family_hash, lifetimes, client, "tokens")
    await db.execute(insert(TokenRow).values(session_id=session.id, token_hash=token.own_hash))
    return Granted(user_id, session, token)


async def rotate(
    db: Connection, presented: RefreshToken, grace: timedelta, lifetimes: Lifetimes, client: SessionClient
) -> Granted | None:
    """Exchange a refresh token. None for one that is good for nothing; if it was used before, its session has ended by that.

    Needs a transaction that is committed in these cases. The session's row is locked, so that of those who present a token at
    once one rotates, and the others get the same.

    Raises:
        TooManyRequests: the session's tokens were exchanged too often within the grace. The token stays good.

    """
    session = (await db.execute(_LOCK, {"family_hash": presented.family_hash})).one_or_none()
    if session is None:
        return None
    # A statement of its own: the one that waited for the lock has seen the tokens as they were before.
    asked = {"session_id": session.id, "token_hash": presented.own_hash, "grace": grace}
    found = (await db.execute(_PRESENTED, asked)).one_or_none()
    user_id = UserId(session.user_id)
    if found and found.is_unused:
        forgotten = await _forget_old(db, session.id, grace)
        if found.kept - forgotten > MAX_KEPT:
            raise TooManyRequests(ceil(grace.total_seconds()))
        token = presented.successor()
        used = {"used_at": func.now(), "successor": presented.seal(token)}
        await db.execute(update(TokenRow).where(TokenRow.id == found.id).values(used))
        await db.execute(insert(TokenRow).values(session_id=session.id, token_hash=token.own_hash))
        return Granted(user_id, await renew_session(db, session.id, lifetimes, client), token)
    if found and found.is_in_grace and (again := _unsealed(presented, found.successor)):
        return Granted(user_id, NewSession(session.id, int(session.lasts)), again)
    await db.execute(delete(Session).where(Session.id == session.id))
    log.warning("refresh_token_reused", session_id=session.id, user_id=user_id)
    return None


async def end_family(db: Connection, token: RefreshToken) -> None:
    """End the session of a refresh token, whosever it is, and whether or not the token was used."""
    await db.execute(delete(Session).where(Session.token_hash == token.family_hash, Session.kind == "tokens"))


async def _forget_old(db: Connection, session_id: int, grace: timedelta) -> int:
    """Forget the tokens that were exchanged too long ago to be told anything more. Returns how many."""
    old = TokenRow.used_at < func.now() - cast(literal(grace), Interval)
    return (await db.execute(delete(TokenRow).where(TokenRow.session_id == session_id, old))).rowcount


def _unsealed(presented: RefreshToken, kept: bytes) -> RefreshToken | None:
    """The successor; None where somebody has changed the row."""
    try:
        return presented.unseal(kept)
    except InvalidToken:
        return None
