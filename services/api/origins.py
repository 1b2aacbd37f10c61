"""Which pages of other origins may call the API (CORS, as the Fetch Standard has it)."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

METHODS: Final = ("GET", "POST", "PATCH", "DELETE")
EXPOSED_HEADERS: Final = ("Link", "Location", "Retry-After", "X-Request-Id")
"""Response headers that pages may read at every door. Each door adds its own."""
MAX_ASKED_BYTES: Final = 4096
"""Of the names of headers that a preflight may ask for. They are sent back, and many a proxy takes no more than 8 KB."""


class AllowedOrigins(CORSMiddleware):
    """Lets pages of these origins send any header and read any answer. A preflight of another page is told nothing.

    Headers are not listed one by one: tracing and request libraries add their own to each call of a page, and a page
    that may call the API may say what it likes. Since credentials are allowed, `*` would be no wildcard in the answer:
    the names that were asked for are sent back.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...], response_headers: Iterable[str] = ()) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_credentials=True,
            allow_methods=METHODS,
            allow_headers=("*",),
            # The origins are known ones, so a page of theirs on the internet may call an API on its reader's own network.
            allow_private_network=True,
            expose_headers=sorted({*EXPOSED_HEADERS, *response_headers}),
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """What a browser is told before it sends a request."""
        response = super().preflight_response(request_headers)
        if "access-control-allow-origin" not in response.headers:
            return _refused("Disallowed CORS origin", response)
        if len(request_headers.get("access-control-request-headers", "")) > MAX_ASKED_BYTES:
            return _refused("Disallowed CORS headers", response)
        return response


def _refused(why: str, response: Response) -> Response:
    """A refusal that tells nothing of what would be allowed."""
    return PlainTextResponse(why, HTTPStatus.BAD_REQUEST, {"Vary": response.headers["vary"]})
