"""Beginning a session for a request whose sender has proved who it is, and what a request says of its sender."""

from datetime import datetime

from fastapi import Request, Response

from services.api.accounts.queries import Credentials, lock_account
from services.api.accounts.schemas import Account, Token
from services.api.auth.access_tokens import AccessTokens
from services.api.auth.authenticate import authorization_of
from services.api.auth.rotation import Granted, begin_tokens
from services.api.auth.sessions import SessionClient, add_session, end_sessions, new_token
from services.api.networks import UNKNOWN, network_of_client, wide_network_of
from services.api.resources import Resources
from shared.accounts.tokens import hash_token
from shared.errors import TokenInvalid


def client_of(request: Request) -> SessionClient:
    """What is kept of a request's sender, so that its user knows the session again."""
    network = wide_network_of(network_of_client(request))
    return SessionClient(request.headers.get("user-agent"), None if network == UNKNOWN else network)


async def begin_cookie_session(
    request: Request,
    response: Response,
    resources: Resources,
    found: Credentials,
    *,
    authenticated_at: datetime | None = None,
) -> Account:
    """Begin a session in place of the browser's one before, so that nobody can have chosen its token.

    `authenticated_at` is when the person has proved something; None for now.

    Raises:
        CredentialsInvalid: the account was deleted or disabled, or its password was changed, a moment ago.

    """
    token = new_token()
    async with resources.database.begin() as db:
        account = await lock_account(db, found)
        await end_sessions(db, resources.cookies.read(request))
        await add_session(
            db,
            found.id,
            hash_token(token),
            resources.sessions.lifetimes,
            client_of(request),
            authenticated_at=authenticated_at,
        )
    resources.cookies.write(request, response, token)
    return Account.model_validate(account)


async def begin_token_session(request: Request, resources: Resources, found: Credentials) -> Token:
    """Begin a session of tokens.

    Raises:
        CredentialsInvalid: the account was deleted or disabled, or its password was changed, a moment ago.

    """
    async with resources.database.begin() as db:
        await lock_account(db, found)
        granted = await begin_tokens(db, found.id, resources.sessions.lifetimes, client_of(request))
    return token_of(granted, resources.tokens)


def token_of(granted: Granted, tokens: AccessTokens) -> Token:
    """What a client is told of its tokens."""
    return Token(
        access_token=tokens.issue(granted.user_id, granted.session.id),
        expires_in=tokens.lifetime,
        refresh_token=granted.token.text(),
        refresh_expires_in=granted.session.lasts,
    )


def named_session(request: Request, tokens: AccessTokens) -> int | None:
    """The session that a request's bearer token names; None for a request without one, or with one that is not valid."""
    try:
        scheme, _, token = authorization_of(request).partition(" ")
        if scheme.lower() != "bearer":
            return None
        return tokens.read(token.strip()).session_id
    except TokenInvalid:
        return None
