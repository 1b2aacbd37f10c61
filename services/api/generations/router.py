"""Turns and their streams: post a message, follow its answer, find it again."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response, status
from sqlalchemy.exc import IntegrityError

from services.api.dependencies import CurrentUser, Held
from services.api.fields import BigIntId
from services.api.generations import queries
from services.api.generations.attach import attach, attach_unless_heard, stream
from services.api.generations.negotiation import prefers_async, wants_json
from services.api.generations.schemas import (
    Accepted,
    AcceptedGeneration,
    AcceptedMessage,
    GenerationView,
    NewMessage,
    stream_url,
)
from services.api.resources import Resources
from shared.errors import ContentTooLong
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.streams.port import BEGINNING

router = APIRouter(prefix="/api", tags=["generations"])

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID")]
_SSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The frames, from the start or after Last-Event-ID."}
}


@router.post(
    "/chats/{chat_id}/messages",
    response_class=Response,
    responses=_SSE
    | {
        202: {"model": Accepted, "description": "With `Prefer: respond-async` or `Accept: application/json`."},
        404: {"description": "chat_not_found"},
        409: {"description": "generation_in_progress, with the live stream's URL"},
    },
)
async def post_message(
    request: Request, chat_id: BigIntId, body: NewMessage, user_id: CurrentUser, held: Held
) -> Response:
    """Say something. The answer streams in the response, or, when asked for JSON, is told where to be found."""
    if len(body.content) > held.settings.message_max_chars:
        raise ContentTooLong(held.settings.message_max_chars)
    turn = await _accept(held, user_id, ChatId(chat_id), body.content)
    held.queue.generate(turn.generation_id)
    if wants_json(request.headers):
        return _accepted(turn, body.content, asked_by_prefer=prefers_async(request.headers))
    return stream(held, turn.generation_id, MessageId(turn.assistant_message_id), BEGINNING)


async def _accept(held: Resources, user_id: UserId, chat_id: ChatId, content: str) -> queries.Turn:
    """Save the turn, or say which generation is in the way."""
    for last in (False, True):
        try:
            async with held.database.connect() as db:
                return await queries.open_turn(db, user_id, chat_id, content)
        except IntegrityError as error:
            if last or not queries.is_second_live(error):
                raise
        async with held.database.connect() as db:
            await queries.refuse_if_live(db, chat_id)
    raise AssertionError  # the second round returns or raises


def _accepted(turn: queries.Turn, content: str, *, asked_by_prefer: bool) -> Response:
    url = stream_url(turn.generation_id)
    accepted = Accepted(
        message=AcceptedMessage(
            id=turn.user_message_id, content=content, position=turn.position, created_at=turn.created_at
        ),
        generation=AcceptedGeneration(id=turn.generation_id, assistant_message_id=turn.assistant_message_id),
        stream_url=url,
    )
    headers = {"Location": f"/api/generations/{turn.generation_id}"}
    if asked_by_prefer:
        headers["Preference-Applied"] = "respond-async"
    return Response(accepted.model_dump_json(), status.HTTP_202_ACCEPTED, headers, media_type="application/json")


@router.get("/generations/{generation_id}", responses={404: {"description": "generation_not_found"}})
async def get_generation(generation_id: UUID, user_id: CurrentUser, held: Held) -> GenerationView:
    """Where a generation stands, and what it took."""
    async with held.database.connect() as db:
        row = await queries.find_generation(db, user_id, GenerationId(generation_id))
    return GenerationView.model_validate(row)


@router.get(
    "/generations/{generation_id}/stream",
    response_class=Response,
    responses=_SSE | {204: {"description": "Last-Event-ID is the terminal frame's."}},
)
async def get_stream(
    generation_id: UUID, user_id: CurrentUser, held: Held, last_event_id: LastEventId = None
) -> Response:
    """A generation's frames: live, late or years later, from the start or after Last-Event-ID."""
    async with held.database.connect() as db:
        row = await queries.find_generation(db, user_id, GenerationId(generation_id))
    return await attach(held, row, last_event_id)


@router.get(
    "/chats/{chat_id}/stream",
    response_class=Response,
    responses=_SSE | {204: {"description": "The chat is not generating, and its last answer was heard."}},
)
async def get_chat_stream(
    chat_id: BigIntId, user_id: CurrentUser, held: Held, last_event_id: LastEventId = None
) -> Response:
    """The chat's live stream, or the last one if it ended while nobody listened."""
    async with held.database.connect() as db:
        row = await queries.find_latest(db, user_id, ChatId(chat_id))
    if row is None:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return await attach_unless_heard(held, row, last_event_id)
