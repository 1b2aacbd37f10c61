"""Accounts: sign up, log in, look at the account, change it, delete it."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response, status

from services.api.accounts.login_body import LOGIN_BODY, login_body
from services.api.accounts.password_check import account_key, check_password
from services.api.accounts.queries import add_user, delete_account, find_account, lock_account, set_time_zone
from services.api.accounts.schemas import Account, AccountChange, Login, Signup, Token
from services.api.auth.sessions import add_session, end_sessions, hash_token, new_token
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPerson, CurrentPrincipal
from services.api.generations.cancellation import end_deleted
from services.api.networks import network_of
from services.api.resources import Resources
from shared.ids import UserId
from shared.protocol.feed_events import ACCOUNT_DELETED

router = APIRouter(route_class=JsonRoute, prefix="/api/auth", tags=["auth"])

OF_STRANGERS: Final = ("/api/auth/login", "/api/auth/signup")
"""Paths that take bodies of anybody."""
MAX_BODY_BYTES: Final = 64 * 1024
"""Of those. An address and a password of 1,024 characters each have 24 KB when all of it is escaped."""

_BUSY: Final[dict[int | str, dict[str, Any]]] = {503: {"description": "database_unavailable, too_busy"}}


@router.post(
    "/signup",
    status_code=status.HTTP_201_CREATED,
    responses=_BUSY | {409: {"description": "email_taken"}, 429: {"description": "too_many_signups"}},
)
async def signup(request: Request, body: Signup, resources: AppResources) -> Account:
    """Make an account."""
    network = _network(request)
    async with resources.passwords.hasher(network, body.email) as hasher:
        await resources.signups.take(network)
        password_hash = await hasher.hash(body.password)
    async with resources.database.connect() as db:
        row = await add_user(db, body.email, password_hash)
    await resources.tries.known.remember(account_key(row.id), network)
    return Account.model_validate(row)


@router.post(
    "/login",
    openapi_extra=LOGIN_BODY,
    responses=_BUSY
    | {
        401: {"description": "credentials_invalid"},
        403: {"description": "origin_not_allowed, cookie_needs_https"},
        422: {"description": "validation_failed"},
        429: {"description": "too_many_tries"},
    },
)
async def login(
    request: Request, body: Annotated[Login, Depends(login_body)], resources: AppResources, response: Response
) -> Token | Account:
    """Exchange credentials for an access token, or, with `cookie`, for a session that a cookie names.

    Without `cookie` the answer is the token. With `cookie` the answer is the account, and the session before, if there was
    one, ends.
    """
    if body.cookie:
        resources.cookies.insist_on_transport(request)
        resources.cookies.insist_on_origin(request)
    user_id = await check_password(resources, body.email, body.password, _network(request))
    if body.cookie:
        return await _begin_session(request, response, resources, user_id)
    return Token(access_token=resources.tokens.issue(user_id), expires_in=resources.tokens.lifetime)


def _network(request: Request) -> str:
    return network_of(request.client.host if request.client else None)


async def _begin_session(request: Request, response: Response, resources: Resources, user_id: UserId) -> Account:
    """Begin a session in place of the browser's one before, so that nobody can have chosen its token."""
    token = new_token()
    async with resources.database.begin() as db:
        account = await lock_account(db, user_id)
        await end_sessions(db, resources.cookies.read(request))
        user_agent = request.headers.get("user-agent")
        await add_session(db, user_id, hash_token(token), resources.sessions.lifetime, user_agent)
    resources.cookies.write(request, response, token)
    return Account.model_validate(account)


@router.get("/me")
async def me(principal: CurrentPrincipal, resources: AppResources) -> Account:
    """The account that the token or the session belongs to."""
    async with resources.database.connect() as db:
        row = await find_account(db, principal.user_id)
    return Account.model_validate(row)


@router.patch("/me")
async def change_me(body: AccountChange, principal: CurrentPerson, resources: AppResources) -> Account:
    """Set the account's time zone: the date that a model is told is the date there."""
    async with resources.database.connect() as db:
        row = await set_time_zone(db, principal.user_id, body.time_zone)
    return Account.model_validate(row)


@router.delete("/me", status_code=status.HTTP_204_NO_CONTENT)
async def delete_me(principal: CurrentPerson, resources: AppResources) -> None:
    """Delete the account with all of its chats. Their generations are stopped."""
    async with resources.database.begin() as db:
        deleted = await delete_account(db, principal.user_id)
    await resources.tries.known.forget(account_key(principal.user_id))
    resources.streams.feed.tell(principal.user_id, ACCOUNT_DELETED)
    await end_deleted(resources.streams, deleted)
