"""Accounts: sign up, log in, look at the account, change it, delete it."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from services.api.accounts.queries import add_user, delete_account, find_account, find_credentials, set_time_zone
from services.api.accounts.schemas import Account, AccountChange, Login, Signup, Token
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.generations.cancellation import end_deleted
from shared.errors import CredentialsInvalid

router = APIRouter(prefix="/api/auth", tags=["auth"])

_FORM = {
    "type": "object",
    "required": ["username", "password"],
    "properties": {
        "grant_type": {"type": "string", "const": "password"},
        "username": {"type": "string"},
        "password": {"type": "string", "format": "password"},
    },
}
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
                return Login.model_validate(
                    {to: form[name] for to, name in (("email", "username"), ("password", "password")) if name in form}
                )
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
    responses=_BUSY | {401: {"description": "credentials_invalid"}, 422: {"description": "validation_failed"}},
)
async def login(body: Annotated[Login, Depends(login_body)], resources: AppResources, response: Response) -> Token:
    """Exchange credentials for an access token."""
    async with resources.database.connect() as db:
        found = await find_credentials(db, body.email)
    if not await resources.passwords.verify(body.password, found.password_hash if found else None) or found is None:
        raise CredentialsInvalid
    response.headers["Cache-Control"] = "no-store"
    return Token(access_token=resources.tokens.issue(found.id), expires_in=resources.tokens.lifetime)


@router.get("/me")
async def me(principal: CurrentPrincipal, resources: AppResources) -> Account:
    """The account that the token belongs to."""
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
    await end_deleted(resources.streams, deleted)
