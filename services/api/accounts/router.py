"""Accounts: sign up, log in, look at the account, change it, delete it."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response, status

from services.api.accounts.deletion import delete_rows, end_account, note_deletion
from services.api.accounts.login import check_login
from services.api.accounts.login_body import LOGIN_BODY, login_body
from services.api.accounts.logins import begin_cookie_session, begin_token_session
from services.api.accounts.password_check import account_key
from services.api.accounts.password_login import TAKES_PASSWORDS
from services.api.accounts.queries import change_email, find_account, set_time_zone
from services.api.accounts.schemas import Account, AccountChange, Login, Signup, Token
from services.api.accounts.signing_up import insist_on_invite, make_account, send_or_drop
from services.api.auth.new_passwords import check_new_password
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, ClientNetwork, CurrentPrincipal, SessionPrincipal
from services.api.reauthentication import RecentlyAuthenticated, insist_on_recent_authentication
from shared.accounts.mails import add_mail, void_links

router = APIRouter(route_class=JsonRoute, prefix="/api/auth", tags=["auth"])

OF_STRANGERS: Final = (
    *("/api/auth/login", "/api/auth/logout", "/api/auth/refresh", "/api/auth/signup"),
    *("/api/auth/password/forgot", "/api/auth/password/reset"),
)
"""Paths that take bodies of anybody."""
MAX_BODY_BYTES: Final = 64 * 1024
"""Of those. An address and a password of 1,024 characters each have 24 KB when all of it is escaped."""

_BUSY: Final[dict[int | str, dict[str, Any]]] = {503: {"description": "database_unavailable, too_busy"}}


@router.post(
    "/signup",
    status_code=status.HTTP_201_CREATED,
    dependencies=TAKES_PASSWORDS,
    responses=_BUSY
    | {
        403: {"description": "password_login_off, signup_closed, invite_required"},
        409: {"description": "email_taken"},
        422: {
            "description": "validation_failed, invite_invalid, password_too_common, password_is_the_email, "
            "password_is_the_product"
        },
        429: {"description": "too_many_signups"},
    },
)
async def signup(body: Signup, resources: AppResources, network: ClientNetwork) -> Account:
    """Make an account. A link that verifies its address is mailed there, unless too many mails went there this hour."""
    await insist_on_invite(resources, body)
    await check_new_password(body.password, body.email)
    async with resources.passwords.hasher(network, body.email) as hasher:
        await resources.signups.take(network)
        password_hash = await hasher.hash(body.password)
    async with resources.database.begin() as db:
        row, mail_id = await make_account(db, body, password_hash)
    if mail_id is not None:
        await send_or_drop(resources, mail_id, row.email, network)
    await resources.tries.known.remember(account_key(row.id), network)
    return Account.model_validate(row)


@router.post(
    "/login",
    dependencies=TAKES_PASSWORDS,
    openapi_extra=LOGIN_BODY,
    responses={
        401: {"description": "credentials_invalid, second_factor_required, code_invalid"},
        403: {"description": "origin_not_allowed, cookie_needs_https, password_login_off"},
        422: {"description": "validation_failed"},
        429: {"description": "too_many_tries"},
        503: {"description": "database_unavailable, too_busy, second_factor_unavailable"},
    },
)
async def login(
    request: Request,
    body: Annotated[Login, Depends(login_body)],
    resources: AppResources,
    response: Response,
    network: ClientNetwork,
) -> Token | Account:
    """Begin a session: of tokens, or, with `cookie`, one that a cookie names.

    Without `cookie` the answer is an access token and a refresh token. With `cookie` the answer is the account, and the session
    before, if there was one, ends.
    """
    if body.cookie:
        resources.cookies.insist_on_transport(request)
        resources.cookies.insist_on_origin(request)
    found = await check_login(resources, body, network)
    if body.cookie:
        return await begin_cookie_session(request, response, resources, found)
    return await begin_token_session(request, resources, found)


@router.get("/me")
async def me(principal: CurrentPrincipal, resources: AppResources) -> Account:
    """The account that the token or the session belongs to."""
    async with resources.database.connect() as db:
        row = await find_account(db, principal.user_id)
    return Account.model_validate(row)


@router.patch(
    "/me",
    responses={
        403: {"description": "origin_not_allowed, credential_not_allowed, reauthentication_required"},
        409: {"description": "email_taken"},
        429: {"description": "too_many_mails"},
    },
)
async def change_me(
    body: AccountChange, principal: SessionPrincipal, resources: AppResources, network: ClientNetwork
) -> Account:
    """Set the account's time zone, or its e-mail address. The date that a model is told is the date in that zone.

    The address is what the account is logged in with, so that needs a recent authentication. A link that verifies the new
    address is mailed there, and the old one is told if the user had verified it.
    """
    mails = list[int]()
    if body.email is not None:
        await insist_on_recent_authentication(principal, resources)
        await resources.mail_limit.take(network, body.email)
    async with resources.database.begin() as db:
        if "time_zone" in body.model_fields_set:
            await set_time_zone(db, principal.user_id, body.time_zone)
        if body.email is not None and (before := await change_email(db, principal.user_id, body.email)):
            await void_links(db, principal.user_id)
            if before.is_verified:
                mails.append(await add_mail(db, "email_changed", before.email, user_id=principal.user_id))
            mails.append(await add_mail(db, "verify_email", body.email, user_id=principal.user_id))
        row = await find_account(db, principal.user_id)
    for mail_id in mails:
        resources.jobs.mail(mail_id)
    return Account.model_validate(row)


@router.delete(
    "/me",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={403: {"description": "origin_not_allowed, credential_not_allowed, reauthentication_required"}},
)
async def delete_me(
    request: Request, response: Response, principal: RecentlyAuthenticated, resources: AppResources
) -> None:
    """Delete the account with all that belongs to it. Its generations are stopped, and its sandbox is dropped."""
    await note_deletion(resources, principal.user_id)
    async with resources.database.begin() as db:
        deleted = await delete_rows(db, principal.user_id)
    if deleted is not None:
        await end_account(resources, principal.user_id, deleted)
    if principal.credential == "session":
        resources.cookies.clear(request, response)
