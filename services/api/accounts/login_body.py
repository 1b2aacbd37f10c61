"""The credentials of a login: as JSON, or as a form of OAuth 2.0's password grant (RFC 6749, section 4.3.2)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from services.api.accounts.schemas import Login
from services.api.bodies import NotJson, insist_on_few, is_json, read_json
from shared.errors import UnsupportedMediaType

URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
MAX_FIELDS: Final = 10
MAX_FIELD_BYTES: Final = 16 * 1024
"""A password of 1,024 characters of four bytes has 12 KB when each byte is percent-encoded."""

_FORM: Final = {
    "type": "object",
    "required": ["username", "password"],
    "properties": {
        "grant_type": {"type": "string", "const": "password"},
        "username": {"type": "string"},
        "password": {"type": "string", "format": "password"},
        "cookie": {"type": "boolean", "default": False},
        "code": {"type": "string"},
    },
}
_FIELDS_OF_FORM: Final = {"username": "email", "password": "password", "cookie": "cookie", "code": "code"}
_FLAGS: Final = {**dict.fromkeys(("true", "1", "on", "yes"), True), **dict.fromkeys(("false", "0", "off", "no"), False)}
LOGIN_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": Login.model_json_schema()},
            URLENCODED: {"schema": _FORM},
            MULTIPART: {"schema": _FORM},
        },
    }
}
"""For the OpenAPI document."""


async def login_body(request: Request) -> Login:
    """The credentials, from JSON or from a form. The form's `username` is the e-mail address.

    Raises:
        RequestValidationError: the body can't be read, or has wrong fields.
        UnsupportedMediaType: the body is neither.

    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind in {URLENCODED, MULTIPART}:
            return await _from_form(request, kind)
        if not is_json(request.headers):
            raise UnsupportedMediaType("Content-Type: send the body as application/json, or as a form")
        return Login.model_validate(read_json(await request.body()))
    except ValidationError as error:
        insist_on_few(error)
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in found]) from error
    except HTTPException as error:
        if error.status_code != HTTPStatus.BAD_REQUEST:
            raise  # the body is too large
        raise _form_invalid(error.detail) from error
    except NotJson as error:
        raise error.as_refusal() from None
    except ClientDisconnect as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST) from error


async def _from_form(request: Request, kind: str) -> Login:
    """Read a form. Starlette raises an HTTPException for one with too many or too large fields, or with files.

    Raises:
        RequestValidationError: a field is there twice, or the form is no UTF-8.

    """
    if kind == URLENCODED:
        return Login.model_validate(_fields(_urlencoded(await request.body())))
    async with request.form(max_files=0, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES) as form:
        return Login.model_validate(_fields(form.multi_items()))


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form. Bytes that are not percent-encoded are UTF-8 too (WHATWG URL, section 5.1)."""
    try:
        # What is empty between two separators is no field there, but `max_num_fields` would count it.
        form = "&".join(filter(None, body.decode().split("&")))
        return parse_qsl(form, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeError as error:
        raise _form_invalid("The form is no UTF-8.") from error
    except ValueError as error:
        raise _form_invalid(f"Too many fields. Maximum number of fields is {MAX_FIELDS}.") from error


def _form_invalid(why: str, field: str | None = None) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", *([field] if field else [])), "type": "form_invalid", "msg": why}])


def _fields(form: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in form:
        if (known := _FIELDS_OF_FORM.get(name)) is None:
            continue
        if known in fields:
            raise _form_invalid("must be there once", known)
        fields[known] = value
    if "cookie" in fields:  # a form has texts alone
        fields["cookie"] = _FLAGS.get(str(fields["cookie"]).lower(), fields["cookie"])
    return fields
