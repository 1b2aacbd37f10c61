"""Sessions in the database. A session's token is a secret of the browser's; the row has only its hash.

The database's clock says when a session ends.
"""

import hashlib
import re
import secrets
from collections.abc import Collection
from datetime import timedelta
from typing import Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Interval,
    LargeBinary,
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
from shared.database.engine import Connection
from shared.database.tables import Session
from shared.ids import UserId

TOKEN_BYTES: Final = 32
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""What `new_token` makes."""
MAX_SESSIONS: Final = 50
"""How many sessions a user has. One more ends the one that was not used for longest."""
MAX_USER_AGENT: Final = 300


class SessionRow(NamedTuple):
    """A session that has not ended. `is_due`: it has not been extended for a while."""

    id: int
    user_id: UserId
    is_due: bool


# Built once: building the statement takes longer than running it.
_FIND: Final = select(
    Session.token_hash,
    Session.id,
    Session.user_id,
    (Session.last_used_at < func.now() - cast(literal(NOTE_EVERY), Interval)).label("is_due"),
).where(
    Session.token_hash == any_(bindparam("token_hashes", type_=ARRAY(LargeBinary))), Session.expires_at > func.now()
)


def new_token() -> str:
    """A session's token: 256 random bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> bytes:
    """What is kept of a token. No salt and no slow hash: 256 random bits can't be guessed."""
    return hashlib.sha256(token.encode()).digest()


async def find_sessions(db: Connection, token_hashes: Collection[bytes]) -> dict[bytes, SessionRow]:
    """The sessions with these tokens that have not ended. A session goes with its account, so the account exists too."""
    rows = await db.execute(_FIND, {"token_hashes": list(token_hashes)})
    return {
        token_hash: SessionRow(session_id, UserId(user_id), is_due) for token_hash, session_id, user_id, is_due in rows
    }


async def add_session(
    db: Connection, user_id: UserId, token_hash: bytes, lifetime: timedelta, user_agent: str | None
) -> None:
    """Begin a session. The user's row must be locked, so that the bound holds for those who log in at once."""
    values = {
        "user_id": user_id,
        "token_hash": token_hash,
        "expires_at": func.now() + cast(literal(lifetime), Interval),
        "user_agent": _shortened(user_agent),
    }
    await db.execute(insert(Session).values(values))
    newest = Session.last_used_at.desc(), Session.id.desc()
    too_many = select(Session.id).where(Session.user_id == user_id).order_by(*newest).offset(MAX_SESSIONS)
    await db.execute(delete(Session).where(Session.id.in_(too_many)))


async def end_sessions(db: Connection, tokens: Collection[str]) -> None:
    """End the sessions with these tokens, whosever they are: who has a token may end its session."""
    token_hashes = [hash_token(token) for token in tokens if TOKEN.fullmatch(token)]
    if token_hashes:
        await db.execute(delete(Session).where(Session.token_hash == any_(literal(token_hashes, ARRAY(LargeBinary)))))


async def extend_sessions(db: Connection, session_ids: Collection[int], lifetime: timedelta) -> None:
    """Let these sessions last for a whole `lifetime` again. Those that somebody else is changing are left as they are."""
    due = (
        select(Session.id)
        .where(
            Session.id == any_(literal(list(session_ids), ARRAY(BigInteger))),
            Session.last_used_at < func.now() - cast(literal(NOTE_EVERY), Interval),
            Session.expires_at > func.now(),
        )
        .with_for_update(skip_locked=True)
    )
    lasting = {"last_used_at": func.now(), "expires_at": func.now() + cast(literal(lifetime), Interval)}
    await db.execute(update(Session).where(Session.id.in_(due)).values(lasting))


def _shortened(user_agent: str | None) -> str | None:
    """What tells a person which browser it is, without what a row can't keep."""
    return "".join(filter(str.isprintable, user_agent))[:MAX_USER_AGENT] if user_agent else None
