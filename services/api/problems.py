"""The one place where errors become HTTP: problem+json (RFC 9457), with the member that OpenAI's clients read."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from math import ceil
from typing import Any, Final, Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from shared import errors
from shared.database.engine import is_transient
from shared.telemetry.logs import get_logger

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
MAX_ERRORS: Final = 20
"""How many errors of one request are told. A body may have a hundred thousand, and nobody reads them."""
RETRY_AFTER: Final = "1"
RETRY_WHEN_FINISHED: Final = "5"
"""Seconds after which one of many answers may be expected to be finished."""
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MEDIA_TYPE: Final = "application/problem+json"
_REF: Final = "#/components/schemas/{model}"


class FieldError(BaseModel):
    """What is wrong with one field. `code` is pydantic's name for it."""

    field: str
    code: str
    message: str


class ErrorMember(BaseModel):
    """The error as OpenAI's clients read it. `param` is the field at fault, null where there is none."""

    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str


class Problem(BaseModel):
    """An error (RFC 9457). `code` is stable; `field` and `errors` are there when fields are at fault.

    Some have members of their own: `generation_in_progress` has `generation_id` and `stream_url`.
    """

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    errors: list[FieldError] | None = None
    error: ErrorMember


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
    if param:
        members["field"] = param
    body = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=int(status),
        detail=detail,
        code=code,
        **members,
        error=ErrorMember(
            message=detail,
            type="server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error",
            param=param,
            code=code,
        ),
    )
    # Not pydantic's own JSON, which refuses what a name in the request may hold: half a surrogate pair.
    return Response(json.dumps(body.model_dump(exclude_unset=True)), int(status), headers, media_type=MEDIA_TYPE)


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
        for error in found[:MAX_ERRORS]
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


def describe(document: dict[str, Any]) -> None:
    """Let an OpenAPI document tell of each operation's errors what is true: they are problems, never FastAPI's own.

    A response that a route describes with content keeps it. What every operation of a kind can answer is added.
    """
    schema = Problem.model_json_schema(ref_template=_REF)
    schemas = document["components"]["schemas"]
    schemas |= {**schema.pop("$defs"), Problem.__name__: schema}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model=Problem.__name__)}}}
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        told = operation["responses"]
        if "content" in told.get("422", {}):  # FastAPI's; ours say their codes only
            told["422"] = {"description": "validation_failed"}
        for status, codes in _implied(operation).items():
            told.setdefault(status, {"description": codes})
        for status, response in told.items():
            if int(status) >= HTTPStatus.BAD_REQUEST:
                response.setdefault("content", content)
        operation["responses"] = dict(sorted(told.items()))


def _implied(operation: dict[str, Any]) -> dict[str, str]:
    """The errors that an operation has by what it takes: status → codes."""
    implied = {}
    if "security" in operation:
        implied["401"] = "unauthenticated, token_invalid"
    if "requestBody" in operation:
        implied["413"] = "payload_too_large"
        if operation["requestBody"]["content"].keys() == {"application/json"}:
            implied["415"] = "unsupported_media_type"
    return implied


def of_http(request: Request, error: HTTPException) -> Response:
    """The response to an error that Starlette or FastAPI raised."""
    if error.status_code == HTTPStatus.BAD_REQUEST and isinstance(error.__cause__, ValueError | RecursionError):
        # What FastAPI says of a body that is no UTF-8, is nested too deeply, or has a number of too many digits.
        return of_validation([{"loc": ("body",), "type": "json_invalid", "msg": "can't be read as JSON"}])
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))
    return problem(error.status_code, code, str(error.detail), headers=headers)


def _allowed(request: Request) -> list[str]:
    """The methods that have a route at a request's path. Starlette names those of the first route that has the path."""
    routes: Sequence[BaseRoute] = request.app.routes
    scopes = ({**request.scope, "method": method} for method in METHODS)
    return [scope["method"] for scope in scopes if any(route.matches(scope)[0] is Match.FULL for route in routes)]


def of_unexpected(_request: Request, error: Exception) -> Response:
    """The response to an error that nobody foresaw; it is logged.

    For Starlette's ServerErrorMiddleware inside of ours: the one that every application begins with is outside of them,
    so that its answer has no headers for pages of other origins and no request id.
    """
    if not isinstance(error, StreamCut):
        log.error("unexpected_error", exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong on our side.")


def _is_unread(error: Any) -> bool:  # noqa: ANN401
    """Whether an error says that the body is no object: FastAPI hands over as bytes what does not say it is JSON."""
    return (error["type"], error["loc"]) == ("model_attributes_type", ("body",))


def _is_json(content_type: str) -> bool:
    """Whether a body of this type is read as JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _openapi(app: FastAPI) -> Callable[[], dict[str, Any]]:
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            describe(plain())  # FastAPI keeps what it has made, and so what is changed in it
        return plain()

    return openapi


def install(app: FastAPI) -> None:
    """Answer every error that a route lets through, and let /openapi.json tell of them."""
    app.openapi = _openapi(app)  # type: ignore[method-assign]

    @app.exception_handler(errors.CortexAIError)
    def own(_request: Request, error: errors.CortexAIError) -> Response:
        if not any(kind in STATUSES for kind in type(error).__mro__):
            log.error("unexpected_error", exc_info=error)
        return of_error(error)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        found = error.errors()
        if any(map(_is_unread, found)) and not _is_json(request.headers.get("content-type", "")):
            detail = "Content-Type: send the body as application/json"
            code = "unsupported_media_type"
            return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, code, detail, param="Content-Type")
        return of_validation(found)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        return of_http(request, error)

    @app.exception_handler(DBAPIError)
    @app.exception_handler(PoolTimeout)
    def database(_request: Request, error: Exception) -> Response:
        if is_transient(error):
            log.warning("database_unavailable", error=type(error).__name__)
            return of_error(errors.DatabaseUnavailable())
        return of_unexpected(_request, error)
