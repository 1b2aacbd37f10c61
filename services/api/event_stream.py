"""A body of Server-Sent Events as a response."""

from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType
from typing import Final

from anyio import CancelScope
from sse_starlette import EventSourceResponse
from starlette.types import Receive, Scope, Send

from services.api.stream_slots import StreamSlot

SEND_TIMEOUT: Final = 10.0
"""Seconds that a client may refuse to take bytes before it is cut off."""


class EventStream(EventSourceResponse):
    """The response of a stream, which its slot can cut (`TakesStreamSlot`)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the body, to its end or until it is cut. Then the server ends the connection, as it does at its own end."""
        slot: StreamSlot | None = scope["state"].get("stream_slot")
        with CancelScope() as cut:
            if slot is not None:
                slot.cut = cut.cancel
            await super().__call__(scope, receive, send)


def event_stream(body: AsyncGenerator[bytes, None], headers: Mapping[str, str] = MappingProxyType({})) -> EventStream:
    """The response. Its pings are in the body, from one timer for all bodies."""
    response = EventStream(
        body,
        ping=0,
        send_timeout=SEND_TIMEOUT,
        headers={
            "Cache-Control": "no-store, no-transform",
            **headers,
        },
    )
    del response.headers["connection"]  # whether the connection goes on is the server's to say
    return response
