"""The one place where exceptions become answers: each exception a failure, each failure in its front door's form."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from services.api.problems import failure
from services.api.problems.failure import ErrorForm, Failure
from shared import errors
from shared.database.engine import is_transient
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]
Handlers = dict[int | type[Exception], Handler]


def expected_errors(forms: Mapping[str, ErrorForm]) -> Handlers:
    """The handlers of every exception that a request may meet.

    `forms` maps the beginning of a path to the form of its errors, in whole segments: `/api/chat` begins `/api/chat/7`
    and not `/api/chats`. The longest beginning wins; "" is the beginning of every path.
    """
    return {
        errors.CortexAIError: _answer(forms, _of_own_error),
        RequestValidationError: _answer(forms, _of_validation),
        HTTPException: _answer(forms, _of_http),
        DBAPIError: _answer(forms, _of_database),
        PoolTimeout: _answer(forms, _of_database),
    }


def unexpected_error(forms: Mapping[str, ErrorForm], *, unlogged: tuple[type[Exception], ...]) -> Handler:
    """The handler of every other exception, which is a fault of this service. The answer says no more; the log does.

    Starlette also calls the handler for an exception in the middle of a body, without sending its answer. `unlogged` are
    those of these exceptions that are no faults.
    """

    def failure_of(request: Request, error: Exception) -> Failure:
        return failure.INTERNAL_ERROR if isinstance(error, unlogged) else _of_fault(request, error)

    return _answer(forms, failure_of)


def _answer(forms: Mapping[str, ErrorForm], failure_of: Callable[[Request, Any], Failure]) -> Handler:
    longest_first = sorted(forms.items(), key=lambda item: len(item[0]), reverse=True)

    async def answer(request: Request, error: Exception) -> Response:
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        fits = (form for beginning, form in longest_first if f"{path}/".startswith(f"{beginning.rstrip('/')}/"))
        form = next(fits, longest_first[-1][1])  # `*`, which OPTIONS may ask for, begins with nothing
        return form(failure_of(request, error))

    return answer


def _of_own_error(_request: Request, error: errors.CortexAIError) -> Failure:
    if failure.status_of(error) is None:
        log.error("unexpected_error", exc_info=error)
    return failure.of_error(error)


def _of_validation(_request: Request, error: RequestValidationError) -> Failure:
    return failure.of_validation(error.errors())


def _of_http(request: Request, error: HTTPException) -> Failure:
    """The answer to an exception of Starlette's or FastAPI's own."""
    status = HTTPStatus(error.status_code)
    headers = dict(error.headers or {})
    match status:
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return failure.of_error(errors.PayloadTooLarge())
        case HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_allowed(request))
        case _:
            pass
    code = status.phrase.lower().replace(" ", "_").replace("-", "_")
    return Failure(status, code, str(error.detail), headers=headers)


def _allowed(request: Request) -> list[str]:
    """The methods that have a route at a request's path. Starlette names only those of the path's first route."""
    routes: Sequence[BaseRoute] = request.app.routes
    scopes = ({**request.scope, "method": method} for method in METHODS)
    found = [scope["method"] for scope in scopes if any(route.matches(scope)[0] is Match.FULL for route in routes)]
    has_head = getattr(request.app.state, "has_head", None)
    if has_head is not None and found[:1] == ["GET"] and "HEAD" not in found and has_head(request.scope):
        found.insert(1, "HEAD")  # head_requests.py answers it; no route does
    return found


def _of_database(request: Request, error: Exception) -> Failure:
    if not is_transient(error):
        return _of_fault(request, error)
    log.warning("database_unavailable", error=type(error).__name__)
    return failure.of_error(errors.DatabaseUnavailable())


def _of_fault(_request: Request, error: Exception) -> Failure:
    log.error("unexpected_error", exc_info=error)
    return failure.INTERNAL_ERROR
