"""Pure ASGI middleware: BaseHTTPMiddleware would buffer streams and turn a cut one into a clean end (docs/protocol.md §4)."""

import logging
import time
from typing import Final
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.problems import StreamCut, of_error
from shared.errors import PayloadTooLarge
from shared.telemetry.logs import get_logger

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
    """Logs every request when it ends, without its query string, and ends cut streams quietly."""

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

        with structlog.contextvars.bound_contextvars(request_id=request_id):
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


def quiet_cuts() -> None:
    """Keep uvicorn from reporting every cut stream as an error."""
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.getMessage() != CUT)
