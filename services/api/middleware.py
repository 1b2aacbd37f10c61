"""Pure ASGI middleware: BaseHTTPMiddleware would buffer streams and turn a cut one into a clean end (docs/protocol.md §4)."""

import logging
import time
from typing import Final
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from services.api.problems import StreamCut, of_error
from shared.errors import PayloadTooLarge
from shared.telemetry.logs import get_logger
from shared.telemetry.traces import TRACEPARENT, TraceContext, bind_trace, new_trace, read_traceparent

log = get_logger(__name__)

# uvicorn's complaint about a response without an end. Cutting a stream is how its client learns to resume, so it is no fault.
CUT: Final = "ASGI callable returned without completing response."
QUIET_PATHS: Final = frozenset({"/livez", "/readyz"})


class BodyLimit:
    """Refuses a body of more than `limit` bytes, by its length if that is told, else once so much has come."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on unless its body is too large."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > self.limit:
            await of_error(PayloadTooLarge())(scope, receive, send)
            return
        taken, begun = 0, False

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.limit:
                raise PayloadTooLarge
            return message

        async def answered(message: Message) -> None:
            # FastAPI takes whatever ends the reading of a body for a bad request. That answer is not sent.
            nonlocal begun
            if begun or taken <= self.limit:
                begun = True
                await send(message)

        await self.app(scope, bounded, answered)
        if taken > self.limit and not begun:
            await of_error(PayloadTooLarge())(scope, receive, send)


class RequestLog:
    """Logs every request when it ends, without its query string, and ends cut streams quietly.

    All log lines of the request carry `request_id` and `trace_id`: of the trace that the request names, else of a new one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note how it went."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, ended = time.perf_counter(), 0, False
        request_id = uuid4().hex

        async def noted(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
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
        finally:
            write = log.debug if scope["path"] in QUIET_PATHS else log.info
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
