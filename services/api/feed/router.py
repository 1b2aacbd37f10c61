"""The live feed: one connection for all that happens to a user's chats."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from sse_starlette import EventSourceResponse
from starlette.responses import Response

from services.api.auth.principal import Principal
from services.api.dependencies import AppResources, EventsReader
from services.api.feed.encoder import encode_feed, read_id
from services.api.feed.follow import follow
from services.api.resources import Resources

router = APIRouter(prefix="/api/events", tags=["feed"])

SEND_TIMEOUT: Final = 10.0
"""Seconds that a client may refuse to take bytes before it is cut off."""
_SSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The events: docs/protocol.md, *Live feed*."}
}


@router.get("", response_class=Response, responses=_SSE)
async def get_events(
    principal: EventsReader,
    resources: AppResources,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
    after: Annotated[str | None, Query(description="In place of the header Last-Event-ID.")] = None,
) -> Response:
    """What happens to the user's chats: titles, messages, generations, memory. From now on, or after an event's id.

    The answer is 200 though Redis is away, since a browser gives up an EventSource for any other. The body is cut then.
    """
    event_id = last_event_id or after
    events = follow(
        resources.streams.feed_reader,
        principal.user_id,
        read_id(event_id),
        begins_anew=not event_id,
        may_read=_may_read(principal, resources),
    )
    return EventSourceResponse(
        encode_feed(events),
        ping=0,  # pings are events of the feed, from one timer for all readers
        send_timeout=SEND_TIMEOUT,
        # The URL may hold a ticket.
        headers={"Cache-Control": "no-cache, no-transform", "Referrer-Policy": "no-referrer"},
    )


def _may_read(principal: Principal, resources: Resources) -> Callable[[], Awaitable[bool]]:
    """Looks whether the reader's account is there. A session goes with its account; other credentials end by themselves."""
    if principal.credential == "session":
        return partial(resources.sessions.exists, principal.credential_hash)
    return partial(resources.accounts.exists, principal.user_id)
