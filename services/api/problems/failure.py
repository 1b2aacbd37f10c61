"""What a request that failed is answered with, in no format: a front door gives it one."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from math import ceil
from typing import Any, Final, NamedTuple

from starlette.responses import Response

from shared import errors
from shared.ids import GenerationId

STATUSES: Final[dict[type[errors.CortexAIError], HTTPStatus]] = {
    errors.BadRequest: HTTPStatus.BAD_REQUEST,
    errors.InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.PayloadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.TooMany: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The status of each kind of error. An error of no kind is a fault of this service: 500."""
MAX_FIELD_ERRORS: Final = 20
"""How many field errors one answer lists. A body may have a hundred thousand, and nobody reads them."""
RETRY_AFTER: Final = "1"
RETRY_WHEN_FINISHED: Final = "5"
"""Seconds after which one of many answers may be expected to be finished."""


class FieldFailure(NamedTuple):
    """What is wrong with one field of a request. `code` is pydantic's name for the mistake."""

    field: str
    code: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """The answer to a request that failed.

    `code` is stable and public, `detail` is for people. `field` is the field at fault, None where there is none;
    `fields` has up to MAX_FIELD_ERRORS of them. `headers` belong to the status (RFC 9110), so every format sends them.
    `in_the_way` is the live generation because of which a message was refused.
    """

    status: HTTPStatus
    code: str
    detail: str
    field: str | None = None
    fields: Sequence[FieldFailure] = ()
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    in_the_way: GenerationId | None = None


ErrorForm = Callable[[Failure], Response]
"""How a front door writes a failure: its body and content type."""

INTERNAL_ERROR: Final = Failure(
    HTTPStatus.INTERNAL_SERVER_ERROR, errors.CortexAIError.code, "Something went wrong on our side."
)


def status_of(error: errors.CortexAIError) -> HTTPStatus | None:
    """The status of an error's kind; None for an error that no request should meet."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), None)


def of_error(error: errors.CortexAIError) -> Failure:
    """The answer to one of our own errors."""
    return Failure(
        status_of(error) or HTTPStatus.INTERNAL_SERVER_ERROR,
        error.code,
        error.message,
        field=getattr(error, "field", None),
        headers=_headers(error),
        in_the_way=error.generation_id if isinstance(error, errors.GenerationInProgress) else None,
    )


def _headers(error: errors.CortexAIError) -> dict[str, str]:
    match error:
        case errors.TokenInvalid() | errors.KeyInvalid():
            challenge = f'Bearer realm="cortexai", error="invalid_token", error_description="{error}"'
            return {"WWW-Authenticate": challenge}
        case errors.ScopeMissing():
            return {"WWW-Authenticate": f'Bearer realm="cortexai", error="insufficient_scope", scope="{error.scope}"'}
        case errors.Unauthenticated():
            return {"WWW-Authenticate": 'Bearer realm="cortexai"'}
        case errors.TooMany() | errors.Unavailable():
            return {"Retry-After": _retry_after(error)}
        case _:
            return {}


def _retry_after(error: errors.TooMany | errors.Unavailable) -> str:
    """The seconds after which trying again may help."""
    match error:
        case errors.QuotaExceeded():
            return str(seconds_to_midnight())
        case errors.TooManyRequests():
            return str(error.seconds)
        case errors.TooMany() | errors.QueueFull():
            return RETRY_WHEN_FINISHED
        case _:
            return RETRY_AFTER


def seconds_to_midnight() -> int:
    """Seconds until the day ends, in UTC: then tokens are counted anew."""
    now = datetime.now(UTC)
    return ceil(((now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0) - now).total_seconds())


def of_validation(found: Sequence[Any]) -> Failure:
    """The answer to a request that does not fit its schema. `found` are pydantic's errors.

    The answer never repeats what was sent: the text may be secret or unprintable.
    """
    fields = [
        FieldFailure(_name(error["loc"]), error["type"], error["msg"].removeprefix("Value error, "))
        for error in found[:MAX_FIELD_ERRORS]
    ]
    first = fields[0]
    detail = f"{first.field}: {first.message}" if first.field else first.message
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return Failure(status, "validation_failed", detail, field=first.field or None, fields=fields)


def _name(location: Sequence[Any]) -> str:
    """A field's name: `("body", "content")` → `content`. Path, query and header are no part of a parameter's name."""
    names = [str(part) for part in location[1:]]
    return "body" if location[:1] == ("body",) and (not names or names[0].isdigit()) else ".".join(names)
