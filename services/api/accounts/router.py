"""Accounts: sign up, log in, look at the account, change it, delete it."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from services.api.accounts.queries import (
    add_user,
    delete_account,
    find_account,
    find_credentials,
    lock_account,
    set_time_zone,
)
from services.api.accounts.schemas import Account, AccountChange, Login, Signup, Token
from services.api.auth.sessions import add_session, end_sessions, hash_token, new_token
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.generations.cancellation import end_deleted
from services.api.resources import Resources
from shared.errors import CredentialsInvalid
from shared.ids import UserId
from shared.protocol.feed_events import ACCOUNT_DELETED

router = APIRouter(route_class=JsonRoute, prefix="/api/auth", tags=["auth"])

_FORM = {
    "type": "object",
    "required": ["username", "password"],
    "properties": {
        "grant_type": {"type": "string", "const": "password"},
        "username": {"type": "string"},
        "password": {"type": "string", "format": "password"},
        "cookie": {"type": "boolean", "default": False},
    },
}
_FIELDS_OF_FORM: Final = (("email", "username"), ("password", "password"), ("cookie", "cookie"))
_LOGIN_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": Login.model_json_schema()},
            "application/x-www-form-urlencoded": {"schema": _FORM},
        },
    }
}
_BUSY: Final[dict[int | str, dict[str, Any]]] = {503: {"description": "database_unavailable, too_busy"}}


async def login_body(request: Request) -> Login:
    """The credentials, from JSON or from the OAuth 2.0 password form. The form's `username` is the e-mail address.

    Raises:
        RequestValidationError: the body is neither, or has wrong fields.

    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/x-www-form-urlencoded":
            async with request.form(max_fields=10) as form:  # raises HTTPException for more fields
                return Login.model_validate({to: form[name] for to, name in _FIELDS_OF_FORM if name in form})
        # As every other route reads JSON, so that a text that can't be kept is refused in the same words.
        return Login.model_validate(await request.json())
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in found]) from error
    except HTTPException as error:
        if error.status_code != HTTPStatus.BAD_REQUEST:
            raise  # the body is too large
        raise RequestValidationError([{"loc": ("body",), "type": "form_invalid", "msg": error.detail}]) from error
    except (ValueError, RecursionError) as error:
        raise RequestValidationError(
            [{"loc": ("body",), "type": "json_invalid", "msg": "can't be read as JSON"}]
        ) from error


@router.post("/signup", status_code=status.HTTP_201_CREATED, responses=_BUSY | {409: {"description": "email_taken"}})
async def signup(body: Signup, resources: AppResources) -> Account:
    """Make an account."""
    password_hash = await resources.passwords.hash(body.password)
    async with resources.database.connect() as db:
        row = await add_user(db, body.email, password_hash)
    return Account.model_validate(row)


@router.post(
    "/login",
    openapi_extra=_LOGIN_BODY,
    responses=_BUSY
    | {
        401: {"description": "credentials_invalid"},
        403: {"description": "origin_not_allowed, cookie_needs_https"},
        422: {"description": "validation_failed"},
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
    async with resources.database.connect() as db:
        found = await find_credentials(db, body.email)
    if not await resources.passwords.verify(body.password, found.password_hash if found else None) or found is None:
        raise CredentialsInvalid
    response.headers["Cache-Control"] = "no-store"
    if body.cookie:
        return await _begin_session(request, response, resources, found.id)
    return Token(access_token=resources.tokens.issue(found.id), expires_in=resources.tokens.lifetime)


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
async def change_me(body: AccountChange, principal: CurrentPrincipal, resources: AppResources) -> Account:
    """Set the account's time zone: the date that a model is told is the date there."""
    async with resources.database.connect() as db:
        row = await set_time_zone(db, principal.user_id, body.time_zone)
    return Account.model_validate(row)


@router.delete("/me", status_code=status.HTTP_204_NO_CONTENT)
async def delete_me(principal: CurrentPrincipal, resources: AppResources) -> None:
    """Delete the account with all of its chats. Their generations are stopped."""
    async with resources.database.begin() as db:
        deleted = await delete_account(db, principal.user_id)
    resources.streams.feed.tell(principal.user_id, ACCOUNT_DELETED)
    await end_deleted(resources.streams, deleted)
