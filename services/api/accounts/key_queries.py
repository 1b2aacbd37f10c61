"""A user's API keys in the database, as their owner manages them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Interval, cast, delete, func, insert, literal, select, update

from services.api.auth.key_format import SHOWN_CHARS
from shared.accounts.state import MAY_LOG_IN
from shared.accounts.tokens import hash_token
from shared.database.engine import Connection
from shared.database.tables import ApiKey, User
from shared.errors import ApiKeyNotFound, TokenInvalid, TooManyKeys
from shared.ids import UserId

MAX_KEYS: Final = 50
"""How many keys a user may have. Those that have expired count too, until their owner deletes them."""

_COLUMNS: Final = (
    *(ApiKey.id, ApiKey.name, ApiKey.shown, ApiKey.scopes),
    *(ApiKey.created_at, ApiKey.expires_at, ApiKey.last_used_at),
)


class OwnKey(NamedTuple):
    """A key as its owner sees it. `shown` is its beginning; the key itself is not known any more."""

    id: int
    name: str
    shown: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


async def add_key(
    db: Connection, user_id: UserId, key: str, *, name: str, scopes: Sequence[str], lifetime: timedelta | None
) -> OwnKey:
    """Keep a new key, of which only the hash and the beginning are kept. Needs a transaction.

    Raises:
        TooManyKeys: the user has MAX_KEYS already.
        TokenInvalid: the account was deleted or disabled after its request was let in.

    """
    owner = select(User.id).where(User.id == user_id, MAY_LOG_IN).with_for_update(key_share=True)
    if (await db.execute(owner)).one_or_none() is None:
        raise TokenInvalid
    counted = select(func.count()).select_from(ApiKey).where(ApiKey.user_id == user_id)
    if (await db.execute(counted)).scalar_one() >= MAX_KEYS:
        raise TooManyKeys
    values = {
        "user_id": user_id,
        "name": name,
        "key_hash": hash_token(key),
        "shown": key[:SHOWN_CHARS],
        "scopes": list(scopes),
        "expires_at": None if lifetime is None else func.now() + cast(literal(lifetime), Interval),
    }
    return OwnKey._make((await db.execute(insert(ApiKey).values(values).returning(*_COLUMNS))).one())


async def list_keys(db: Connection, user_id: UserId) -> list[OwnKey]:
    """The user's keys, the newest first."""
    rows = await db.execute(select(*_COLUMNS).where(ApiKey.user_id == user_id).order_by(ApiKey.id.desc()))
    return [OwnKey._make(row) for row in rows]


async def rename_key(db: Connection, user_id: UserId, key_id: int, name: str) -> OwnKey:
    """Give a key another name.

    Raises:
        ApiKeyNotFound: absent, or another user's.

    """
    owned = ApiKey.id == key_id, ApiKey.user_id == user_id
    row = (await db.execute(update(ApiKey).where(*owned).values(name=name).returning(*_COLUMNS))).one_or_none()
    if row is None:
        raise ApiKeyNotFound
    return OwnKey._make(row)


async def delete_key(db: Connection, user_id: UserId, key_id: int) -> None:
    """End a key: from the next request on it is refused.

    Raises:
        ApiKeyNotFound: absent, or another user's.

    """
    owned = ApiKey.id == key_id, ApiKey.user_id == user_id
    if (await db.execute(delete(ApiKey).where(*owned))).rowcount == 0:
        raise ApiKeyNotFound
