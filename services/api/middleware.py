"""Pure ASGI middleware. BaseHTTPMiddleware buffers streams, and ends a cut one cleanly (docs/protocol.md §4)."""

import logging
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from services.api.answer_headers import completed
from services.api.auth.authenticate import authenticate
from services.api.bodies import insist_on_plain
from services.api.dependencies import Access
from services.api.own_paths import HEALTH_PATHS
from services.api.resources import Resources
from services.api.streaming.follow import StreamCut
from shared.errors import AdminOnly
from shared.telemetry.logs import get_logger
from shared.telemetry.traces import TRACEPARENT, TraceContext, bind_trace, new_trace, read_traceparent

log = get_logger(__name__)

# uvicorn's complaint about a response without an end. A stream is cut on purpose, so that its client resumes.
CUT: Final = "ASGI callable returned without completing response."


class Authentication:
    """Finds the principal of each request that needs one, and puts it into the request's state.

    FastAPI reads a request's body before it runs a route's dependencies. This runs before both, so that nobody who is
    refused can make the API read a body. `access` tells which requests need one, and by what. Other requests pass without
    a look at their credentials: an open route ignores a bad token, and an unknown path is 404 for everybody.
    """

    def __init__(self, app: ASGIApp, access: Callable[[Scope], Access | None]) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on.

        Raises:
            Unauthenticated: the request needs a principal and names none, or one that is not valid.
            OriginNotAllowed: the request may be another page's, and names its principal by a cookie.
            CredentialNotAllowed, ScopeMissing: the request's API key is not for this.
            AdminOnly: the principal is no admin, for whom alone this is.

        """
        if scope["type"] == "http" and (access := self.access(scope)):
            resources: Resources = scope["state"]["resources"]
            scope["state"]["principal"] = principal = await authenticate(
                HTTPConnection(scope),
                takes_ticket=access.takes_ticket,
                scope=access.scope,
                tokens=resources.tokens,
                tickets=resources.tickets,
                accounts=resources.accounts,
                cookies=resources.cookies,
                sessions=resources.sessions,
                keys=resources.keys,
            )
            if access.admin_only and not principal.is_admin:
                raise AdminOnly
        await self.app(scope, receive, send)


class BodyLimit:
    """Refuses a body that can't be read, or of more than `limit` bytes: by its declared length, else once they have come.

    `others` has the limits of paths that have a limit of their own. Whoever reads such a body keeps little of it.

    FastAPI has such a limit (`max_body_size`), which is left unset: it stands outside of every middleware and answers a
    declared length in plain text, without CORS headers, a request id or a problem.
    """

    def __init__(self, app: ASGIApp, limit: int, others: Mapping[str, int] | None = None) -> None:
        self.app = app
        self.limit = limit
        self.others = others or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on.

        Raises:
            UnsupportedMediaType: it is compressed, or no UTF-8.
            HTTPException: 413, the body is too large. FastAPI lets this exception pass when it reads a body; it takes
                every other one for a bad request.

        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        insist_on_plain(scope["method"], Headers(scope=scope))
        limit = self.others.get(scope["path"].removeprefix(scope.get("root_path", "")), self.limit)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        await self.app(scope, bounded, send)


class RequestLog:
    """Logs every request when it ends, without its query string, and ends cut streams quietly.

    It completes the headers of all answers, since it stands outside of all that answers. All log lines of the request carry
    `request_id` and `trace_id`: of the trace that the request names, else of a new one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log its status and duration."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, ended = time.perf_counter(), 0, False
        request_id = uuid4().hex
        path = scope["path"].removeprefix(scope.get("root_path", ""))

        async def noted(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = completed(message["headers"], path)
                headers.append((b"x-request-id", request_id.encode()))
                message["headers"] = headers
            elif not message.get("more_body"):
                ended = True
            await send(message)

        # To the end of the request's task: an error that nobody expected is logged outside of this middleware.
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        bind_trace(_trace_of(scope) or new_trace())
        try:
            await self.app(scope, receive, noted)
        except StreamCut as cut:
            log.warning("stream_cut", path=scope["path"], why=str(cut))
        except Exception:
            if not ended:
                raise  # the server has to end the connection
            # Else the answer says all, and the handler of unexpected errors has logged this. The server would once more.
        finally:
            write = log.debug if path in HEALTH_PATHS else log.info
            write(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                complete=ended,
                seconds=round(time.perf_counter() - began, 4),
            )


def _trace_of(scope: Scope) -> TraceContext | None:
    """The trace that the request names. Several `traceparent` headers are as good as none."""
    named = [value for name, value in scope["headers"] if name == TRACEPARENT.encode()]
    return read_traceparent(named[0].decode("latin-1")) if len(named) == 1 else None


def quiet_cuts() -> None:
    """Keep uvicorn from reporting every cut stream as an error."""
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.getMessage() != CUT)
