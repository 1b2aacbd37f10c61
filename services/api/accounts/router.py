"""Accounts: sign up, log in, look at the account, change it, delete it."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response, status

from services.api.accounts.login_body import LOGIN_BODY, login_body
from services.api.accounts.logins import begin_cookie_session, begin_token_session, network_of_client
from services.api.accounts.password_check import account_key, check_password
from services.api.accounts.queries import add_user, delete_account, find_account, set_time_zone
from services.api.accounts.schemas import Account, AccountChange, Login, Signup, Token
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal, SessionPrincipal
from services.api.generations.cancellation import end_deleted
from shared.protocol.feed_events import ACCOUNT_DELETED

router = APIRouter(route_class=JsonRoute, prefix="/api/auth", tags=["auth"])

OF_STRANGERS: Final = ("/api/auth/login", "/api/auth/logout", "/api/auth/refresh", "/api/auth/signup")
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
    network = network_of_client(request)
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
    """Begin a session: of tokens, or, with `cookie`, one that a cookie names.

    Without `cookie` the answer is an access token and a refresh token. With `cookie` the answer is the account, and the session
    before, if there was one, ends.
    """
    if body.cookie:
        resources.cookies.insist_on_transport(request)
        resources.cookies.insist_on_origin(request)
    user_id = await check_password(resources, body.email, body.password, network_of_client(request))
    if body.cookie:
        return await begin_cookie_session(request, response, resources, user_id)
    return await begin_token_session(request, resources, user_id)


@router.get("/me")
async def me(principal: CurrentPrincipal, resources: AppResources) -> Account:
    """The account that the token or the session belongs to."""
    async with resources.database.connect() as db:
        row = await find_account(db, principal.user_id)
    return Account.model_validate(row)


@router.patch("/me")
async def change_me(body: AccountChange, principal: SessionPrincipal, resources: AppResources) -> Account:
    """Set the account's time zone: the date that a model is told is the date there."""
    async with resources.database.connect() as db:
        row = await set_time_zone(db, principal.user_id, body.time_zone)
    return Account.model_validate(row)


@router.delete("/me", status_code=status.HTTP_204_NO_CONTENT)
async def delete_me(principal: SessionPrincipal, resources: AppResources) -> None:
    """Delete the account with all of its chats. Their generations are stopped."""
    async with resources.database.begin() as db:
        deleted = await delete_account(db, principal.user_id)
    await resources.tries.known.forget(account_key(principal.user_id))
    resources.streams.feed.tell(principal.user_id, ACCOUNT_DELETED)
    await end_deleted(resources.streams, deleted)
