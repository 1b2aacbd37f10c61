"""From a request's header to its principal: the one place that decides whether a credential is valid.

A further way to sign in is a further case of `authenticate`, and a further `Credential` in principal.py.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import ARRAY, BigInteger, any_, bindparam, select

from services.api.auth.access_tokens import AccessTokens
from services.api.auth.account_lookup import AccountLookup
from services.api.auth.principal import ALL_SCOPES, Principal
from shared.database.engine import Connection
from shared.database.tables import User
from shared.errors import TokenInvalid, Unauthenticated
from shared.ids import UserId

# Built once: building the statement takes longer than running it.
_FIND_USERS: Final = select(User.id).where(User.id == any_(bindparam("user_ids", type_=ARRAY(BigInteger))))


async def authenticate(authorization: str | None, tokens: AccessTokens, accounts: AccountLookup) -> Principal:
    """The principal that an Authorization header names (RFC 6750).

    Raises:
        Unauthenticated: the header is absent, or has no bearer token.
        TokenInvalid: the token is wrong or has expired, or its account is gone.

    """
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    user_id = tokens.read(token)
    if not await accounts.exists(user_id):
        raise TokenInvalid
    return Principal(user_id, "access_token", ALL_SCOPES)


async def find_users(db: Connection, user_ids: Collection[UserId]) -> set[UserId]:
    """Those of these users that exist."""
    return {UserId(user_id) for user_id in await db.scalars(_FIND_USERS, {"user_ids": list(user_ids)})}
