"""The native door's responses: a stream, 202 with the stream's path, or 204 when there is nothing to stream."""

from typing import Final

from sse_starlette import EventSourceResponse
from starlette import status
from starlette.responses import Response

from services.api.doors.native.encoder import encode
from services.api.doors.native.schemas import Accepted, AcceptedGeneration, AcceptedMessage
from services.api.generations.paths import stream_url
from services.api.streaming.resume import Live, Saved
from services.api.turns.turn import Turn
from shared.ids import GenerationId, MessageId
from shared.streams.port import BEGINNING

SEND_TIMEOUT: Final = 10.0
"""Seconds that a client may refuse to take bytes before it is cut off."""


def stream_response(
    stream: Saved | Live | None, generation_id: GenerationId, message_id: MessageId, last_event_id: str | None = None
) -> Response:
    """A generation's frames. Without a stream, 204: an SSE client does not connect again then (HTML standard, 9.2).

    A client whose `last_event_id` can't be honoured gets everything, and is told to forget what it has.
    """
    if stream is None:
        return nothing()
    reset = bool(last_event_id) and stream.after == BEGINNING
    return EventSourceResponse(
        encode(stream, message_id, reset=reset),
        ping=0,  # pings are events of the stream, from one timer for all streams
        send_timeout=SEND_TIMEOUT,
        headers={
            "Cache-Control": "no-cache, no-transform",
            "Referrer-Policy": "no-referrer",  # the URL may hold a ticket
            "x-vercel-ai-ui-message-stream": "v1",
            "X-Message-Id": str(message_id),
            "X-Generation-Id": str(generation_id),
        },
    )


def nothing() -> Response:
    """The answer to a client that there is nothing to stream for."""
    return Response(status_code=status.HTTP_204_NO_CONTENT)


def accepted_response(turn: Turn, *, asked_by_prefer: bool) -> Response:
    """202: the message was accepted, and its answer is at `stream_url`."""
    accepted = Accepted(
        message=AcceptedMessage(
            id=turn.user_message_id, content=turn.content, position=turn.position, created_at=turn.created_at
        ),
        generation=AcceptedGeneration(
            id=turn.generation_id, assistant_message_id=turn.assistant_message_id, status=turn.status
        ),
        stream_url=stream_url(turn.generation_id),
    )
    headers = {"Location": f"/api/generations/{turn.generation_id}"}
    if asked_by_prefer:
        headers["Preference-Applied"] = "respond-async"
    return Response(accepted.model_dump_json(), status.HTTP_202_ACCEPTED, headers, media_type="application/json")
