"""HTTP/1 as uvicorn serves it, with three repairs for clients that are not browsers.

* A client of HTTP/1.0 knows no chunks, so the body goes out as it is, and the end of the connection is the body's end.
* A client that offers another protocol (`Upgrade: h2c`, which Java's HttpClient sends by default) is answered in HTTP/1.1, as
  RFC 9110, section 7.8, has it. The parser takes what follows the head for that other protocol; so the body was lost.
* A client that takes the API for a proxy (`CONNECT`) is refused. The parser calls its request an upgrade, without an offer.
"""

from typing import Final

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_OF_UPGRADES: Final = frozenset({b"connection", b"http2-settings", b"upgrade"})


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while rest:
                rest = self._read(rest)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _read(self, data: memoryview) -> memoryview:
        """Read all, or up to the end of a head whose offer to upgrade is ignored. Returns what is to be read next."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self.parser.get_method() == b"CONNECT":
                self.send_400_response("This is no proxy.")
            elif self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._read_without_upgrade()
                return data[upgrade.args[0] :]
        return data[:0]

    def on_headers_complete(self) -> None:
        """Answer the request, unless its head has to be read again."""
        if not self._ignores_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note the end of a request's body."""
        if not self._ignores_upgrade():
            super().on_message_complete()

    def _ignores_upgrade(self) -> bool:
        return self.parser.should_upgrade() and not self._should_upgrade()

    def _read_without_upgrade(self) -> None:
        """Read the head that has just ended again, without the offer to upgrade."""
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", self.parser.get_http_version().encode(), b"\r\n"]
        for name, value in self.headers:
            if name not in _OF_UPGRADES:
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        self.parser.feed_data(b"".join([*head, b"\r\n"]))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        super()._start_asgi_task(cycle, _unframed(cycle, app) if cycle.scope["http_version"] == "1.0" else app)  # type: ignore[arg-type]


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
