"""Sessions in the database. A session's token is a secret of its client's; the row has only a hash.

The database's clock says when a session ends.
"""

import re
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Interval,
    LargeBinary,
    RowMapping,
    and_,
    any_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from services.api.auth.use_notes import NOTE_EVERY
from shared.accounts.state import IS_ADMIN, MAY_LOG_IN
from shared.accounts.tokens import hash_token
from shared.database.engine import Connection
from shared.database.tables import Session, User
from shared.errors import SessionNotFound
from shared.ids import UserId

SessionKind = Literal["cookie", "tokens"]
TOKEN_BYTES: Final = 32
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""What `new_token` makes."""
MAX_SESSIONS: Final = 50
"""How many sessions a user has. One more ends another one (`_end_those_too_many`)."""
MAX_USER_AGENT: Final = 300


class Lifetimes(NamedTuple):
    """How long a session lasts: `idle` from its last use, and `total` from its beginning, however much it is used."""

    idle: timedelta
    total: timedelta


class SessionClient(NamedTuple):
    """Who uses a session, as far as that tells a person something: what it calls itself, and its wide network."""

    user_agent: str | None
    network: str | None


class SessionRow(NamedTuple):
    """A session that has not ended. `is_due`: it has not been extended for a while. `is_admin`: its user is an admin now."""

    id: int
    user_id: UserId
    is_due: bool
    is_admin: bool


class NewSession(NamedTuple):
    """A session that has just begun or been renewed. `lasts` is until it ends, in seconds."""

    id: int
    lasts: int


_IS_DUE: Final = (Session.last_used_at < func.now() - cast(literal(NOTE_EVERY), Interval)).label("is_due")
_ROW: Final = (Session.id, Session.user_id, _IS_DUE, IS_ADMIN)
_OF_USER: Final = and_(User.id == Session.user_id, MAY_LOG_IN)
# Built once: building a statement takes longer than running it.
_FIND_BY_TOKEN: Final = (
    select(Session.token_hash, *_ROW)
    .join(User, _OF_USER)
    .where(
        Session.token_hash == any_(bindparam("token_hashes", type_=ARRAY(LargeBinary))),
        Session.kind == "cookie",
        Session.expires_at > func.now(),
    )
)
_FIND_BY_ID: Final = (
    select(*_ROW)
    .join(User, _OF_USER)
    .where(Session.id == any_(bindparam("session_ids", type_=ARRAY(BigInteger))), Session.expires_at > func.now())
)
_LIST: Final = (
    select(
        Session.id,
        Session.kind,
        Session.user_agent,
        Session.network,
        Session.created_at,
        Session.last_used_at,
        Session.expires_at,
    )
    .where(Session.user_id == bindparam("user_id"), Session.expires_at > func.now())
    .order_by(Session.last_used_at.desc(), Session.id.desc())
    .limit(MAX_SESSIONS)
)


def new_token() -> str:
    """A session's token: 256 random bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


async def find_sessions(db: Connection, token_hashes: Collection[bytes]) -> dict[bytes, SessionRow]:
    """The sessions with these cookies' tokens that have not ended, of users who may log in."""
    rows = await db.execute(_FIND_BY_TOKEN, {"token_hashes": list(token_hashes)})
    return {token_hash: _session(row) for token_hash, *row in rows}


async def find_sessions_by_id(db: Connection, session_ids: Collection[int]) -> dict[int, SessionRow]:
    """Those of these sessions that have not ended, of users who may log in, by their ids."""
    rows = await db.execute(_FIND_BY_ID, {"session_ids": list(session_ids)})
    return {session.id: session for session in map(_session, rows)}


async def list_sessions(db: Connection, user_id: UserId) -> list[RowMapping]:
    """The user's sessions that have not ended, the last used first: at most MAX_SESSIONS."""
    return list((await db.execute(_LIST, {"user_id": user_id})).mappings())


async def add_session(
    db: Connection,
    user_id: UserId,
    token_hash: bytes,
    lifetimes: Lifetimes,
    client: SessionClient,
    kind: SessionKind = "cookie",
    *,
    authenticated_at: datetime | None = None,
) -> NewSession:
    """Begin a session. The user's row must be locked, so that the bound holds for those who log in at once.

    `authenticated_at` is when its person has proved who they are, and never later than now; None for now.
    """
    lifetime = min(lifetimes)
    values = {
        "user_id": user_id,
        "token_hash": token_hash,
        "expires_at": func.now() + cast(literal(lifetime), Interval),
        "kind": kind,
        **_as_kept(client),
    }
    if authenticated_at is not None:
        values["authenticated_at"] = func.least(func.now(), authenticated_at)
    session_id = (await db.execute(insert(Session).values(values).returning(Session.id))).scalar_one()
    await _end_those_too_many(db, user_id, session_id)
    return NewSession(session_id, int(lifetime.total_seconds()))


async def renew_session(db: Connection, session_id: int, lifetimes: Lifetimes, client: SessionClient) -> NewSession:
    """Let a session last for its whole idle time again, within its total time, and note who used it. Its row is locked."""
    lasting = {"last_used_at": func.now(), "expires_at": _end(lifetimes), **_as_kept(client)}
    left = func.greatest(func.extract("epoch", Session.expires_at - func.now()), 0)
    statement = update(Session).where(Session.id == session_id).values(lasting).returning(left)
    return NewSession(session_id, int((await db.execute(statement)).scalar_one()))


async def end_sessions(db: Connection, tokens: Collection[str]) -> None:
    """End the sessions with these tokens, whosever they are: who has a token may end its session."""
    token_hashes = [hash_token(token) for token in tokens if TOKEN.fullmatch(token)]
    if token_hashes:
        await db.execute(delete(Session).where(Session.token_hash == any_(literal(token_hashes, ARRAY(LargeBinary)))))


async def end_session(db: Connection, user_id: UserId, session_id: int) -> None:
    """End one session of the user's.

    Raises:
        SessionNotFound: it has ended, or is another user's.

    """
    mine = Session.id == session_id, Session.user_id == user_id, Session.expires_at > func.now()
    if not (await db.execute(delete(Session).where(*mine))).rowcount:
        raise SessionNotFound


async def end_session_of_token(db: Connection, session_id: int) -> None:
    """End the session that a valid access token names."""
    await db.execute(delete(Session).where(Session.id == session_id))


async def end_other_sessions(db: Connection, user_id: UserId, keep: int | None) -> int:
    """End the sessions of the user's, all but `keep`; None keeps none. Returns how many these were.

    Their streams are cut by session_watch.py.
    """
    others = Session.user_id == user_id, *([] if keep is None else [Session.id != keep])
    return (await db.execute(delete(Session).where(*others))).rowcount


async def note_authentication(db: Connection, user_id: UserId, session_id: int) -> None:
    """Note that the person of this session has proved now who they are."""
    session = Session.id == session_id, Session.user_id == user_id
    await db.execute(update(Session).where(*session).values(authenticated_at=func.now()))


async def is_recently_authenticated(db: Connection, user_id: UserId, session_id: int, within: timedelta) -> bool:
    """Whether the person of this session has proved within this time who they are. False where the session has ended."""
    session = Session.id == session_id, Session.user_id == user_id
    recent = Session.authenticated_at > func.now() - cast(literal(within), Interval)
    return bool(await db.scalar(select(recent).where(*session)))


async def extend_sessions(db: Connection, session_ids: Collection[int], lifetimes: Lifetimes) -> None:
    """Let these sessions last for their idle time again. Those that somebody else is changing are left as they are."""
    due = (
        select(Session.id)
        .where(
            Session.id == any_(literal(list(session_ids), ARRAY(BigInteger))),
            Session.last_used_at < func.now() - cast(literal(NOTE_EVERY), Interval),
            Session.expires_at > func.now(),
        )
        .with_for_update(skip_locked=True)
    )
    lasting = {"last_used_at": func.now(), "expires_at": _end(lifetimes)}
    await db.execute(update(Session).where(Session.id.in_(due)).values(lasting))


def _session(row: Sequence[Any]) -> SessionRow:
    session_id, user_id, is_due, is_admin = row
    return SessionRow(session_id, UserId(user_id), is_due, is_admin)


def _end(lifetimes: Lifetimes) -> ColumnElement[datetime]:
    """When a session ends that is used now."""
    idle, total = (cast(literal(each), Interval) for each in lifetimes)
    return func.least(func.now() + idle, Session.created_at + total)


async def _end_those_too_many(db: Connection, user_id: UserId, newest: int) -> None:
    """End what is past MAX_SESSIONS, and never the one that has just begun.

    First those of tokens whose use was never noted (NOTE_EVERY), as of programs that log in at each run: else such a program
    would throw its owner's browser out. Then those that were not used for longest.
    """
    is_of_one_run = and_(Session.kind == "tokens", Session.last_used_at == Session.created_at)
    kept_first = (Session.id == newest).desc(), is_of_one_run, Session.last_used_at.desc(), Session.id.desc()
    too_many = select(Session.id).where(Session.user_id == user_id).order_by(*kept_first).offset(MAX_SESSIONS)
    await db.execute(delete(Session).where(Session.id.in_(too_many)))


def _as_kept(client: SessionClient) -> dict[str, str | None]:
    """The columns that tell of a client: what a person reads of it, without what a row can't keep."""
    agent = client.user_agent
    shortened = "".join(filter(str.isprintable, agent))[:MAX_USER_AGENT] if agent else None
    return {"user_agent": shortened, "network": client.network}
