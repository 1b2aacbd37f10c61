"""From a request to its principal: the one place that decides whether a credential is valid.

A further kind of credential is a further case of `authenticate`, and a further `Credential` in principal.py.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import ARRAY, BigInteger, any_, bindparam, select
from starlette.requests import HTTPConnection

from services.api.auth.access_tokens import AccessTokens
from services.api.auth.account_lookup import AccountLookup
from services.api.auth.key_format import PREFIX
from services.api.auth.key_lookup import KeyLookup
from services.api.auth.principal import KeyScope, Principal
from services.api.auth.session_cookies import SessionCookies
from services.api.auth.session_lookup import SessionLookup
from services.api.auth.sessions import SessionRow
from services.api.auth.stream_tickets import PARAMETER, StreamTickets
from shared.accounts.state import MAY_LOG_IN
from shared.accounts.tokens import hash_token
from shared.database.engine import Connection
from shared.database.tables import User
from shared.errors import (
    CredentialNotAllowed,
    ScopeMissing,
    SessionInvalid,
    TicketInvalid,
    TokenInvalid,
    Unauthenticated,
)
from shared.ids import UserId

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""They change nothing here (RFC 9110, section 9.2.1)."""

# Built once: building the statement takes longer than running it.
_FIND_USERS: Final = select(User.id).where(User.id == any_(bindparam("user_ids", type_=ARRAY(BigInteger))), MAY_LOG_IN)


async def authenticate(
    request: HTTPConnection,
    *,
    takes_ticket: bool,
    scope: KeyScope | None,
    tokens: AccessTokens,
    tickets: StreamTickets,
    accounts: AccountLookup,
    cookies: SessionCookies,
    sessions: SessionLookup,
    keys: KeyLookup,
) -> Principal:
    """The principal that a request names: by a bearer token or an API key, else by a ticket, else by a cookie.

    What a client says of its own accord goes before what its browser adds, also when it is wrong. `takes_ticket`: the
    request's route is a stream, which a ticket may read. `scope` is what an API key has to allow; None where none will do.

    Raises:
        Unauthenticated: the request names nobody.
        TokenInvalid, KeyInvalid, TicketInvalid, SessionInvalid: the credential is wrong or has expired, its session has ended,
            or its account is gone or disabled.
        CredentialNotAllowed, ScopeMissing: the API key is good, and not for this.
        OriginNotAllowed: the cookie comes with a request that another page may have made.

    """
    scheme, _, token = authorization_of(request).partition(" ")
    if scheme.lower() == "bearer":
        if (token := token.strip()).startswith(PREFIX):
            return await _by_key(token, keys, scope)
        return await _by_access_token(token, tokens, accounts, sessions)
    if takes_ticket and (given := request.query_params.getlist(PARAMETER)):
        return await _by_ticket(given, tickets, accounts, sessions)
    if presented := cookies.read(request):
        if request.scope["method"] not in SAFE_METHODS:
            cookies.insist_on_origin(request)
        return await _by_session(presented, sessions)
    raise Unauthenticated


def authorization_of(request: HTTPConnection) -> str:
    """The header `Authorization`; "" where there is none.

    Raises:
        TokenInvalid: there are two. A proxy in front may have read the other one.

    """
    given = request.headers.getlist("authorization")
    if len(given) > 1:
        raise TokenInvalid
    return given[0] if given else ""


async def _by_access_token(
    token: str, tokens: AccessTokens, accounts: AccountLookup, sessions: SessionLookup
) -> Principal:
    if not token:
        raise Unauthenticated
    user_id, session_id, expires_at = tokens.read(token)
    session = await _find_session(user_id, session_id, accounts, sessions)
    if session is None:
        raise TokenInvalid
    return Principal(
        user_id,
        "access_token",
        hash_token(token),
        session_id=session_id,
        expires_at=expires_at,
        is_admin=session.is_admin,
    )


async def _by_key(key: str, keys: KeyLookup, scope: KeyScope | None) -> Principal:
    found = await keys.find(key)
    if scope is None:
        raise CredentialNotAllowed
    if scope not in found.scopes:
        raise ScopeMissing(scope)
    return Principal(found.user_id, "api_key", hash_token(key), key_id=found.id, is_admin=found.is_admin)


async def _by_ticket(
    given: list[str], tickets: StreamTickets, accounts: AccountLookup, sessions: SessionLookup
) -> Principal:
    if len(given) > 1:
        raise TicketInvalid
    user_id, stream, session_id, expires_at = tickets.read(given[0])
    if await _find_session(user_id, session_id, accounts, sessions) is None:
        raise TicketInvalid
    return Principal(user_id, "stream_ticket", hash_token(given[0]), stream, session_id, expires_at)


class _Signed(NamedTuple):
    """What there is of a credential without a session, as a release before signed them: an account, and no more is known."""

    is_admin: bool = False


async def _find_session(
    user_id: UserId, session_id: int | None, accounts: AccountLookup, sessions: SessionLookup
) -> SessionRow | _Signed | None:
    """What a signed credential names, with which its account is there; None where that is gone. One query either way."""
    if session_id is None:  # as the release before signed them
        return _Signed() if await accounts.exists(user_id) else None
    return await sessions.find_by_id(session_id, user_id)


async def _by_session(presented: list[str], sessions: SessionLookup) -> Principal:
    """Of several cookies, one is somebody else's, who would like this user to act for them. So none is taken."""
    if len(presented) > 1:
        raise SessionInvalid
    session = await sessions.find(presented[0])
    if session is None:
        raise SessionInvalid
    return Principal(
        session.user_id, "session", hash_token(presented[0]), session_id=session.id, is_admin=session.is_admin
    )


async def find_users(db: Connection, user_ids: Collection[UserId]) -> set[UserId]:
    """Those of these users that exist and may log in."""
    return {UserId(user_id) for user_id in await db.scalars(_FIND_USERS, {"user_ids": list(user_ids)})}
