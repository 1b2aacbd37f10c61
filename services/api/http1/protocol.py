"""HTTP/1 as uvicorn serves it, with repairs for clients that are not browsers, and with bounds for those that are hostile.

* A client of HTTP/1.0 knows no chunks, so the body goes out as it is, and the end of the connection is the body's end.
* A client that offers another protocol (`Upgrade: h2c`, which Java's HttpClient sends by default, or `websocket`) is answered
  in HTTP/1.1, as RFC 9110, section 7.8, has it. The parser takes what follows the head for that other protocol; so the body
  was lost.
* A client that takes the API for a proxy (`CONNECT`) is refused. The parser calls its request an upgrade, without an offer.
* A head is bounded before it is whole, since the parser keeps what it has read of a line, however long (request_heads.py).
* A client that takes too long, or asks for too much at once, is cut off (connections.py).
* A client whose body nobody needs any more is told so by the end of the connection, and is not read on for ever.
"""

import asyncio
from enum import Enum, auto
from typing import Any, Final

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from services.api.http1 import refusals
from services.api.http1.connections import Connections
from services.api.http1.early_answers import LINGER_SECONDS, LINGER_SILENCE, answers_early, may_end_early
from services.api.http1.refusals import Refusal
from services.api.http1.request_heads import (
    ENOUGH_OF_METHOD,
    MAX_FRAMING_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    find_fault,
    has_unknown_method,
    too_large,
)
from services.api.http1.unsent_bytes import UnsentBytes
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

PIECE: Final = 8 * 1024
"""Bytes that are parsed at a time. Requests may be much shorter, and each that is parsed takes some kilobytes."""
MIN_RATE: Final = 500
"""Bytes a second that a body has to come with in the long run. Source: Apache's mod_reqtimeout, whose default it is."""
LINGER_PAUSE: Final = 0.02
"""Seconds between two reads of what nobody needs. The event loop reads up to 256 KB at a time."""
MAX_PASSED_OVER: Final = 64 * 1024 * 1024
"""Bytes that a client may go on sending which has its last answer. None is kept."""
_OF_UPGRADES: Final = frozenset({b"connection", b"http2-settings", b"upgrade"})


class Phase(Enum):
    """What the client sends next."""

    REQUEST = auto()
    HEAD = auto()
    BODY = auto()


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        connections: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.all_connections = connections
        self.phase = Phase.REQUEST
        self.requests = 0
        self.head_bytes = 0
        self.beginning = b""
        self.framing = 0
        self.body_bytes = 0
        self.unread = b""
        self.refusal: Refusal | None = None
        self.ends_early = False
        self.has_unsent_answer = False
        self.running: RequestResponseCycle | None = None  # what is being answered; `cycle` may be a later request
        self.lingers_until: float | None = None
        self.lingers_at_most = 0.0
        self.passed_over = 0
        self.unsent = UnsentBytes()
        # What the last look has seen: the request, how far it has come, since when it is in this phase, and its last byte.
        self.seen = (-1, Phase.REQUEST)
        self.seen_bytes = 0
        self.began_at = 0.0
        self.moved_at = 0.0

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many connections."""
        super().connection_made(transport)
        refusal = self.all_connections.admit(self, self.client[0] if self.client else None)
        if refusal is not None:
            transport.write(refusal.raw)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free what the connection has."""
        self.all_connections.remove(self)
        self.unread = b""
        if self.running is not None and not self.running.response_complete:
            # uvicorn tells the newest request alone, and a stream before it would go on for ever.
            self.running.disconnected = True
            self.running.message_event.set()
        super().connection_lost(exc)

    def drop(self) -> None:
        """End the connection at once, to make room for another."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def look(self, now: float) -> None:
        """End the connection if it takes too long."""
        if self.lingers_until is not None and now >= self.lingers_until:
            self.transport.abort()
            return
        if self.has_unsent_answer:
            self._wait()
        answered = _is_answered(self.cycle)
        closing = self.transport.is_closing()
        size = self.transport.get_write_buffer_size() if answered or closing or self.flow.write_paused else 0
        if self.unsent.is_stuck(size, now, self.all_connections.limits.send_seconds):
            log.info("client_takes_nothing", unsent=size)
            self.transport.abort()
        elif not closing and self.lingers_until is None:
            self._look_at_request(now, answered=answered)

    def _look_at_request(self, now: float, *, answered: bool) -> None:
        limits, seen = self.all_connections.limits, (self.requests, self.phase)
        # While an earlier request is being answered, nothing is read, so nobody is slow.
        if seen != self.seen or self.pipeline or (self.phase is not Phase.BODY and not answered):
            self.seen, self.began_at, self.moved_at, self.seen_bytes = seen, now, now, self.body_bytes
        elif self.phase is Phase.BODY:
            if self.body_bytes != self.seen_bytes or self.flow.read_paused:
                self.seen_bytes, self.moved_at = self.body_bytes, now
            allowed = limits.body_seconds + self.body_bytes / MIN_RATE
            if now - self.moved_at >= limits.body_seconds or now - self.began_at >= allowed:
                self._refuse(refusals.TOO_SLOW)
        elif now - self.began_at >= limits.head_seconds:
            if self.phase is Phase.HEAD:
                self._refuse(refusals.TOO_SLOW)
            elif not self.requests or self.timeout_keep_alive_task is None:
                # Nothing has come; or line ends alone, which stop uvicorn's own clock.
                self.transport.close()

    # What the client sends

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        if self.lingers_until is not None:
            self._pass_over(len(data))
            return
        if self.transport.is_closing():
            return
        if self.unread or self.pipeline:
            self.unread += data
            self.flow.pause_reading()
            return
        self._unset_keepalive_if_required()
        self._read(data)

    def _read(self, data: bytes) -> None:
        """Read piece by piece, up to a request that has to wait for an answer to an earlier one."""
        at = 0
        if self.phase is Phase.REQUEST:
            self.beginning = b""
        self.beginning += data[: ENOUGH_OF_METHOD - len(self.beginning)]
        try:
            while at < len(data) and self.refusal is None:
                if self.pipeline:
                    self.unread = data[at:]
                    self.flow.pause_reading()
                    return
                at += self._feed(data if not at and len(data) <= PIECE else data[at : at + PIECE])
        except httptools.HttpParserError:
            unknown = refusals.METHOD if has_unknown_method(self.beginning) else refusals.NO_HTTP
            self.refusal = self.refusal or unknown
        if self.refusal is not None:
            self._refuse(self.refusal)

    def _feed(self, piece: bytes) -> int:
        """Read all, or up to the end of a head whose offer to upgrade is ignored. Returns how many bytes were read."""
        read, before, requests = len(piece), self.phase, self.requests
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            if self.parser.get_method() == b"CONNECT":
                self.refusal = refusals.NO_PROXY
            elif self.refusal is None:
                self._read_without_upgrade()
                read = upgrade.args[0]
        if self.phase is Phase.HEAD:
            # Of a piece in which another request ends, nobody knows how much is this one's.
            is_whole = self.requests == requests or (before is Phase.REQUEST and self.requests == requests + 1)
            self.head_bytes += read if is_whole else 1
            if self.head_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
                self.refusal = too_large(self.url)
        elif self.phase is Phase.BODY:
            self.framing += read
            if self.framing > MAX_FRAMING_BYTES or len(self.headers) > MAX_HEADERS:
                self.refusal = refusals.HEAD_TOO_LARGE
        return read

    def _read_on(self) -> None:
        """Read what had to wait for an answer."""
        if self.transport.is_closing() or self.lingers_until is not None:
            return
        data, self.unread = self.unread, b""
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        self._read(data)

    def _should_upgrade(self) -> bool:
        return False

    # What the parser tells

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        self.phase = Phase.HEAD
        self.requests += 1
        self.head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Answer the request, unless it is refused or its head has to be read again."""
        if self.refusal is None:
            # A head that came in one piece is not too large.
            is_long = bool(self.head_bytes)
            self.refusal = find_fault(self.parser.get_http_version(), self.url, self.headers, is_long=is_long)
        if self.refusal is not None or self.parser.should_upgrade():
            return
        self.phase = Phase.BODY
        self.framing = self.body_bytes = 0
        super().on_headers_complete()
        # What comes behind the body is kept apart: the request is passed on already (RFC 9110, section 6.5.1).
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Take some of a body."""
        if self.refusal is None:
            self.framing = 0
            self.body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of a request's body."""
        if self.refusal is not None or self.parser.should_upgrade():
            return
        if len(self.headers) > MAX_HEADERS:
            self.refusal = refusals.HEAD_TOO_LARGE
            return
        self.phase = Phase.REQUEST
        if not self.cycle.response_complete:
            self.has_unsent_answer = False
            self.all_connections.works(self)
        super().on_message_complete()

    def _read_without_upgrade(self) -> None:
        """Read the head that has just ended again, without the offer to upgrade."""
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", self.parser.get_http_version().encode(), b"\r\n"]
        for name, value in self.headers:
            if name not in _OF_UPGRADES:
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        self.parser.feed_data(b"".join([*head, b"\r\n"]))

    # Answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        self.running = cycle
        if cycle.scope["http_version"] == "1.0":
            app = _unframed(cycle, app)
        if may_end_early(cycle):
            app = answers_early(cycle, app, self._note_early_end)
        super()._start_asgi_task(cycle, app)  # type: ignore[arg-type]

    def _note_early_end(self) -> None:
        self.ends_early = True

    def on_response_complete(self) -> None:
        """Go on with the next request, if there is one; end a connection on which a body comes that nobody needs."""
        if self.ends_early and not self.transport.is_closing():
            self.server_state.total_requests += 1
            self._linger()
            return
        # uvicorn begins with the next request, if that has its head.
        super().on_response_complete()
        if self.pipeline:
            return
        if self.cycle.response_complete or self.phase is Phase.BODY:
            self._wait()
        if self.unread:
            self.loop.call_soon(self._read_on)

    def _wait(self) -> None:
        """Count as one that waits for a request, as soon as the answers so far are sent: before that, none makes room."""
        self.has_unsent_answer = bool(self.transport.get_write_buffer_size())
        if not self.has_unsent_answer and not self.transport.is_closing():
            self.all_connections.waits(self)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what is no request, if the client can tell that this is the answer to it; and end the connection."""
        log.info("request_refused", status=int(refusal.status), code=refusal.code)
        self.refusal = refusal
        is_next = _is_answered(self.cycle)
        if not is_next:
            # The application may not answer as well.
            is_next = self.phase is Phase.BODY and not self.pipeline and not self.cycle.response_started
            for cycle in (self.cycle, *(waiting for waiting, _ in self.pipeline)):
                cycle.disconnected = True
                cycle.message_event.set()
        if is_next and not (self.phase is Phase.BODY and self.cycle.response_complete):
            self.transport.write(refusal.raw)
            self._linger()
        else:
            self.transport.abort()

    def _pass_over(self, size: int) -> None:
        """Count bytes that nobody needs, and read on a moment later: else a quick client's bytes hold up all the others."""
        self.passed_over += size
        self.lingers_until = min(self.loop.time() + LINGER_SILENCE, self.lingers_at_most)
        if self.passed_over > MAX_PASSED_OVER:
            self.transport.abort()
            return
        self.flow.pause_reading()
        self.loop.call_later(LINGER_PAUSE, self._read_slowly)

    def _read_slowly(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _linger(self) -> None:
        """End the connection once the client has the answer.

        A socket that is closed while bytes come sends a reset, on which many systems forget what they have received.

        Source: RFC 9112, section 9.6.
        """
        now = self.loop.time()
        self.lingers_until, self.lingers_at_most = now + LINGER_SILENCE, now + LINGER_SECONDS
        self.flow.resume_reading()
        self.transport.write_eof()


def _is_answered(cycle: RequestResponseCycle | None) -> bool:
    """Whether the last request, if there was one, has its whole answer."""
    return cycle is None or cycle.response_complete


def _unframed(cycle: RequestResponseCycle, app: ASGIApp) -> ASGIApp:
    """The application, with bodies that are sent as they are: not in chunks, and of any length."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_unframed(message: Message) -> None:
            cycle.chunked_encoding = False
            if message["type"] == "http.response.body":
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_unframed)

    return run
