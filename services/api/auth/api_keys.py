"""API keys in the database. The key itself is kept nowhere; the row has its hash.

The database's clock says when a key expires.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Interval,
    LargeBinary,
    and_,
    any_,
    bindparam,
    cast,
    func,
    literal,
    or_,
    select,
    update,
)

from services.api.auth.principal import KeyScope, granted
from services.api.auth.use_notes import NOTE_EVERY
from shared.accounts.state import IS_ADMIN, MAY_LOG_IN
from shared.database.engine import Connection
from shared.database.tables import ApiKey, User
from shared.ids import UserId


class KeyRow(NamedTuple):
    """A key that is good. `scopes` are all that it allows. `is_due`: its use has not been noted for a while.

    `is_admin`: its user is an admin now.
    """

    id: int
    user_id: UserId
    scopes: frozenset[KeyScope]
    is_due: bool
    is_admin: bool


_IS_GOOD: Final = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())
_IS_DUE: Final = or_(
    ApiKey.last_used_at.is_(None), ApiKey.last_used_at < func.now() - cast(literal(NOTE_EVERY), Interval)
)
# Built once: building a statement takes longer than running it.
_OF_USER: Final = and_(User.id == ApiKey.user_id, MAY_LOG_IN)
_FIND: Final = (
    select(ApiKey.key_hash, ApiKey.id, ApiKey.user_id, ApiKey.scopes, _IS_DUE.label("is_due"), IS_ADMIN)
    .join(User, _OF_USER)
    .where(ApiKey.key_hash == any_(bindparam("key_hashes", type_=ARRAY(LargeBinary))), _IS_GOOD)
)
_FIND_LIVE: Final = (
    select(ApiKey.id)
    .join(User, _OF_USER)
    .where(ApiKey.id == any_(bindparam("key_ids", type_=ARRAY(BigInteger))), _IS_GOOD)
)


async def find_keys(db: Connection, key_hashes: Collection[bytes]) -> dict[bytes, KeyRow]:
    """The good ones among the keys with these hashes, of users who may log in."""
    rows = await db.execute(_FIND, {"key_hashes": list(key_hashes)})
    return {
        key_hash: KeyRow(key_id, UserId(user_id), granted(scopes), is_due, is_admin)
        for key_hash, key_id, user_id, scopes, is_due, is_admin in rows
    }


async def find_live_keys(db: Connection, key_ids: Collection[int]) -> set[int]:
    """Those of these keys that are good: neither deleted, nor expired, nor of a user who is gone or may not log in."""
    return set(await db.scalars(_FIND_LIVE, {"key_ids": list(key_ids)}))


async def note_uses(db: Connection, key_ids: Collection[int]) -> None:
    """Note that these keys are used now. Those that somebody else is changing are left as they are."""
    due = (
        select(ApiKey.id)
        .where(and_(ApiKey.id == any_(literal(list(key_ids), ARRAY(BigInteger))), _IS_DUE))
        .with_for_update(skip_locked=True)
    )
    await db.execute(update(ApiKey).where(ApiKey.id.in_(due)).values(last_used_at=func.now()))
