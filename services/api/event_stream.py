"""A body of Server-Sent Events as a response."""

from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType
from typing import Final

from sse_starlette import EventSourceResponse

SEND_TIMEOUT: Final = 10.0
"""Seconds that a client may refuse to take bytes before it is cut off."""


def event_stream(
    body: AsyncGenerator[bytes, None], headers: Mapping[str, str] = MappingProxyType({})
) -> EventSourceResponse:
    """The response. Its pings are in the body, from one timer for all bodies."""
    return EventSourceResponse(
        body,
        ping=0,
        send_timeout=SEND_TIMEOUT,
        headers={
            "Cache-Control": "no-cache, no-transform",
            "Referrer-Policy": "no-referrer",  # the URL may hold a ticket
            **headers,
        },
    )
