"""The live feed: one connection for all that happens to a user's chats."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query
from starlette.responses import Response

from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, EventsReader, TakesStreamSlot
from services.api.event_stream import event_stream
from services.api.feed.encoder import encode_feed, read_id
from services.api.feed.follow import follow

router = APIRouter(route_class=JsonRoute, prefix="/api/events", tags=["feed"])

_SSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The events: docs/protocol.md, *Live feed*."},
    429: {"description": "too_many_streams"},
}


@router.get("", response_class=Response, responses=_SSE, dependencies=[Depends(TakesStreamSlot())])
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
    feed = resources.streams.feed_reader
    events = follow(feed, principal.user_id, read_id(event_id), begins_anew=not event_id)
    return event_stream(encode_feed(events))
