"""The one place where errors become HTTP: problem+json (RFC 9457), with the member that OpenAI's clients read."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from math import ceil
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from shared import errors
from shared.database.engine import is_transient
from shared.telemetry import get_logger

log = get_logger(__name__)

STATUSES: Final[dict[type[errors.CortexAIError], HTTPStatus]] = {
    errors.InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.PayloadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.TooMany: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
RETRY_AFTER: Final = "1"
RETRY_WHEN_FINISHED: Final = "5"
"""Seconds after which one of many answers may be expected to be finished."""


class StreamCut(Exception):
    """A stream can't go on here. Raised in mid-body, so that the connection is cut and the client knows to resume.

    No handler answers it: the response has begun long ago.
    """


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    param: str | None = None,
    headers: dict[str, str] | None = None,
    **members: Any,  # noqa: ANN401
) -> Response:
    """A problem+json response. `param` names the field that was wrong; `members` are problem-specific."""
    title = HTTPStatus(status).phrase
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    body = {
        "type": "about:blank",
        "title": title,
        "status": int(status),
        "detail": detail,
        "code": code,
        **({"field": param} if param else {}),
        **members,
        "error": {"message": detail, "type": kind, "param": param, "code": code},
    }
    return Response(json.dumps(body), int(status), headers, media_type="application/problem+json")


def of_error(error: errors.CortexAIError) -> Response:
    """The response to one of our own errors."""
    status = next(
        (STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), HTTPStatus.INTERNAL_SERVER_ERROR
    )
    headers: dict[str, str] = {}
    members: dict[str, Any] = {}
    match error:
        case errors.TokenInvalid():
            headers["WWW-Authenticate"] = f'Bearer realm="cortexai", error="invalid_token", error_description="{error}"'
        case errors.Unauthenticated():
            headers["WWW-Authenticate"] = 'Bearer realm="cortexai"'
        case errors.QuotaExceeded():
            headers["Retry-After"] = str(_seconds_to_midnight())
        case errors.TooMany() | errors.QueueFull():
            headers["Retry-After"] = RETRY_WHEN_FINISHED
        case errors.Unavailable():
            headers["Retry-After"] = RETRY_AFTER
        case errors.GenerationInProgress():
            members["generation_id"] = str(error.generation_id)
            members["stream_url"] = f"/api/generations/{error.generation_id}/stream"
        case _:
            pass
    return problem(status, error.code, error.message, param=getattr(error, "field", None), headers=headers, **members)


def _seconds_to_midnight() -> int:
    """Until the day ends, in UTC."""
    now = datetime.now(UTC)
    return ceil(((now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0) - now).total_seconds())


def of_validation(found: Sequence[Any]) -> Response:
    """The response to a request that does not fit its schema. Never repeats what was sent: it may be secret or unprintable."""
    details = [
        {"field": _field(error["loc"]), "code": error["type"], "message": error["msg"].removeprefix("Value error, ")}
        for error in found
    ]
    first = details[0]
    detail = f"{first['field']}: {first['message']}" if first["field"] else first["message"]
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "validation_failed", detail, param=first["field"] or None, errors=details
    )


def _field(location: Sequence[Any]) -> str:
    """`("body", "content")` → `content`; where a parameter stands (path, query, header) is no part of its name."""
    names = [str(part) for part in location[1:]]
    return "body" if location[:1] == ("body",) and (not names or names[0].isdigit()) else ".".join(names)


def install(app: FastAPI) -> None:
    """Answer every error that a route lets through."""

    @app.exception_handler(errors.CortexAIError)
    def own(_request: Request, error: errors.CortexAIError) -> Response:
        if not any(kind in STATUSES for kind in type(error).__mro__):
            log.error("unexpected_error", exc_info=error)
        return of_error(error)

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, error: RequestValidationError) -> Response:
        return of_validation(error.errors())

    @app.exception_handler(HTTPException)
    def http(_request: Request, error: HTTPException) -> Response:
        if error.status_code == HTTPStatus.BAD_REQUEST and isinstance(error.__cause__, ValueError | RecursionError):
            # What FastAPI says of a body that is no UTF-8, is nested too deeply, or has a number of too many digits.
            return of_validation([{"loc": ("body",), "type": "json_invalid", "msg": "can't be read as JSON"}])
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
        return problem(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))

    @app.exception_handler(DBAPIError)
    @app.exception_handler(PoolTimeout)
    def database(_request: Request, error: Exception) -> Response:
        if is_transient(error):
            log.warning("database_unavailable", error=type(error).__name__)
            return of_error(errors.DatabaseUnavailable())
        return unexpected(_request, error)

    @app.exception_handler(Exception)
    def unexpected(_request: Request, error: Exception) -> Response:
        log.error("unexpected_error", exc_info=error)
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong on our side.")
