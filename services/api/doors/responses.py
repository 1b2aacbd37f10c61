"""A generation's frames as a response: the same bytes at every door that streams the log as it is."""

from starlette import status
from starlette.responses import Response

from services.api import event_ids
from services.api.doors.encoder import Events, encode
from services.api.event_stream import event_stream
from services.api.streaming.follow import follow
from services.api.streaming.resume import Live, Saved
from shared.ids import GenerationId, MessageId
from shared.streams.port import BEGINNING


def stream_response(
    stream: Saved | Live | None,
    generation_id: GenerationId,
    message_id: MessageId,
    last_event_id: str | None = None,
    *,
    events: Events = follow,
) -> Response:
    """A generation's frames. Without a stream, 204: an SSE client does not connect again then (HTML standard, 9.2).

    A client whose `last_event_id` can't be honoured gets everything, and is told to forget what it has.
    """
    if stream is None:
        return nothing()
    has_nothing = not last_event_id or last_event_id == event_ids.text(message_id, BEGINNING)
    reset = stream.after == BEGINNING and not has_nothing
    return event_stream(
        encode(stream, message_id, reset=reset, events=events),
        {
            "x-vercel-ai-ui-message-stream": "v1",
            "X-Message-Id": str(message_id),
            "X-Generation-Id": str(generation_id),
        },
    )


def nothing() -> Response:
    """The answer to a client that there is nothing to stream for."""
    return Response(status_code=status.HTTP_204_NO_CONTENT)
