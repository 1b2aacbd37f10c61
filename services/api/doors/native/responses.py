"""The native door's response without a stream: 202 with the stream's path."""

from starlette import status
from starlette.responses import Response

from services.api.doors.native.schemas import Accepted, AcceptedGeneration, AcceptedMessage
from services.api.generations.paths import stream_url
from services.api.own_paths import own_path
from services.api.turns.turn import Turn


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
    headers = {"Location": own_path(f"/api/generations/{turn.generation_id}")}
    if asked_by_prefer:
        headers["Preference-Applied"] = "respond-async"
    return Response(accepted.model_dump_json(), status.HTTP_202_ACCEPTED, headers, media_type="application/json")
