"""Which pages of other origins may call the API (CORS, as the Fetch Standard has it)."""

from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Send

METHODS: Final = ("GET", "POST", "PATCH", "DELETE")
EXPOSED_HEADERS: Final = ("Link", "Location", "Retry-After", "X-Request-Id")
"""Response headers that pages may read at every door. Each door adds its own."""
MAX_ASKED_BYTES: Final = 4096
"""Of the names of headers that a preflight may ask for. They are sent back, and many a proxy takes no more than 8 KB."""


class AllowedOrigins(CORSMiddleware):
    """Lets pages of these origins send any header and read any answer. A preflight of another page is told nothing.

    Headers are not listed one by one: tracing and request libraries add their own to each call of a page, and a page
    that may call the API may say what it likes. To a page that sends its credentials, `*` would be no wildcard in the
    answer: the names that were asked for are sent back.

    Only `listed` origins, those that the operator has named, may read answers to requests with cookies. What serves one
    of the default origins may be any program on the user's machine, and a cookie of localhost is sent to all its ports.
    """

    def __init__(
        self,
        app: ASGIApp,
        origins: tuple[str, ...],
        listed: Collection[str],
        response_headers: Iterable[str] = (),
    ) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=("*",),
            # The origins are known ones, so a page of theirs on the internet may call an API on its reader's own network.
            allow_private_network=True,
            expose_headers=sorted({*EXPOSED_HEADERS, *response_headers}),
        )
        self.listed = frozenset(listed)

    def preflight_response(self, request_headers: Headers) -> Response:
        """What a browser is told before it sends a request."""
        response = super().preflight_response(request_headers)
        if "access-control-allow-origin" not in response.headers:
            return _refused("Disallowed CORS origin", response)
        if len(request_headers.get("access-control-request-headers", "")) > MAX_ASKED_BYTES:
            return _refused("Disallowed CORS headers", response)
        self._allow_credentials(response.headers, request_headers)
        return response

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        """Pass on what the browser is told of an answer."""
        if message["type"] == "http.response.start":
            message.setdefault("headers", [])
            self._allow_credentials(MutableHeaders(scope=message), request_headers)
        await super().send(message, send, request_headers)

    def _allow_credentials(self, headers: MutableHeaders, request_headers: Headers) -> None:
        if request_headers.get("origin") in self.listed:
            headers["Access-Control-Allow-Credentials"] = "true"


def _refused(why: str, response: Response) -> Response:
    """A refusal that tells nothing of what would be allowed."""
    return PlainTextResponse(why, HTTPStatus.BAD_REQUEST, {"Vary": response.headers["vary"]})
