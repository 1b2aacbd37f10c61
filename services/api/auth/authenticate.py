"""From a request's header to its principal: the one place that decides whether a credential is worth something."""

from typing import Final

from sqlalchemy import BigInteger, bindparam, select

from services.api.auth.access_tokens import AccessTokens
from services.api.auth.principal import ALL_SCOPES, Principal
from shared.database.engine import Database
from shared.database.tables import User
from shared.errors import TokenInvalid, Unauthenticated

# Built once: building the statement takes longer than running it.
_FIND_USER: Final = select(User.id).where(User.id == bindparam("user_id", type_=BigInteger))


async def authenticate(authorization: str | None, tokens: AccessTokens, database: Database) -> Principal:
    """The principal that an Authorization header names (RFC 6750). Takes one indexed query.

    The query is made for every request, so that a deleted account is refused at once.

    Raises:
        Unauthenticated: the header is absent, or is no bearer token.
        TokenInvalid: the token is wrong or has expired, or its account is gone.

    """
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    user_id = tokens.read(token)
    async with database.connect() as db:
        found = (await db.execute(_FIND_USER, {"user_id": user_id})).one_or_none()
    if found is None:
        raise TokenInvalid
    return Principal(user_id, "access_token", ALL_SCOPES)
