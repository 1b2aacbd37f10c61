"""Turns and their streams: post a message, follow its answer, find it again."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response, status
from structlog.contextvars import bind_contextvars

from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.doors.native.negotiation import prefers_async, wants_json
from services.api.fields import BigIntId
from services.api.generations import queries
from services.api.generations.receipts import cancel, receipt, receipts
from services.api.generations.schemas import (
    Accepted,
    AcceptedGeneration,
    AcceptedMessage,
    GenerationView,
    NewMessage,
    Receipt,
    Stopped,
    stream_url,
)
from services.api.streaming.resume import attach, attach_unless_seen, stream
from services.api.turns.accept import accept
from services.api.turns.idempotency import idempotency_key, keyed
from services.api.turns.queries import Turn
from shared.database.tables import Generation
from shared.errors import ContentTooLong, ModelNotOffered
from shared.ids import ChatId, GenerationId, MessageId
from shared.streams.port import BEGINNING

router = APIRouter(prefix="/api", tags=["generations"])

IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID")]
_SSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The frames, from the start or after Last-Event-ID."},
    204: {"description": "Last-Event-ID is the terminal frame's."},
    503: {"description": "database_unavailable, streams_unavailable"},
}


@router.post(
    "/chats/{chat_id}/messages",
    response_class=Response,
    responses=_SSE
    | {
        202: {"model": Accepted, "description": "With `Prefer: respond-async` or `Accept: application/json`."},
        204: {"description": "With the Idempotency-Key of an earlier message: Last-Event-ID is its terminal frame's."},
        404: {"description": "chat_not_found"},
        409: {"description": "generation_in_progress, with the live stream's URL"},
        422: {
            "description": "validation_failed, content_too_long, model_not_offered, idempotency_key_reused, "
            "invalid_request"
        },
        429: {"description": "too_many_generations, quota_exceeded"},
        503: {"description": "queue_full, too_busy, database_unavailable, streams_unavailable"},
    },
)
async def post_message(
    request: Request,
    chat_id: BigIntId,
    body: NewMessage,
    key: IdempotencyKey,
    principal: CurrentPrincipal,
    resources: AppResources,
    last_event_id: LastEventId = None,
) -> Response:
    """Say something. The answer streams in the response, or, when asked for JSON, is told where to be found.

    With an Idempotency-Key, a repeated request makes no second message: it gets the stream of the first.
    """
    if len(body.content) > resources.settings.message_max_chars:
        raise ContentTooLong(resources.settings.message_max_chars)
    if body.model is not None and body.model not in resources.settings.offered_models:
        raise ModelNotOffered(resources.settings.offered_models)
    turn, fresh = await accept(resources, principal.user_id, ChatId(chat_id), body, keyed(key, ChatId(chat_id), body))
    bind_contextvars(generation_id=str(turn.generation_id))
    if wants_json(request.headers):
        return _accepted(turn, body.content, asked_by_prefer=prefers_async(request.headers))
    if fresh:
        return stream(resources, turn.generation_id, MessageId(turn.assistant_message_id), BEGINNING)
    async with resources.database.connect() as db:
        row = await queries.find_generation(db, principal.user_id, turn.generation_id)
    return await attach(resources, row, last_event_id)


def _accepted(turn: Turn, content: str, *, asked_by_prefer: bool) -> Response:
    url = stream_url(turn.generation_id)
    accepted = Accepted(
        message=AcceptedMessage(
            id=turn.user_message_id, content=content, position=turn.position, created_at=turn.created_at
        ),
        generation=AcceptedGeneration(
            id=turn.generation_id, assistant_message_id=turn.assistant_message_id, status=turn.status
        ),
        stream_url=url,
    )
    headers = {"Location": f"/api/generations/{turn.generation_id}"}
    if asked_by_prefer:
        headers["Preference-Applied"] = "respond-async"
    return Response(accepted.model_dump_json(), status.HTTP_202_ACCEPTED, headers, media_type="application/json")


@router.get("/generations/{generation_id}", responses={404: {"description": "generation_not_found"}})
async def get_generation(generation_id: UUID, principal: CurrentPrincipal, resources: AppResources) -> GenerationView:
    """Where a generation stands, and what it took."""
    bind_contextvars(generation_id=str(generation_id))
    async with resources.database.connect() as db:
        row = await queries.find_generation(db, principal.user_id, GenerationId(generation_id))
    return GenerationView.model_validate(row)


@router.get(
    "/generations/{generation_id}/stream",
    response_class=Response,
    responses=_SSE | {404: {"description": "generation_not_found"}},
)
async def get_stream(
    generation_id: UUID, principal: CurrentPrincipal, resources: AppResources, last_event_id: LastEventId = None
) -> Response:
    """A generation's frames: live, late or years later, from the start or after Last-Event-ID."""
    async with resources.database.connect() as db:
        row = await queries.find_generation(db, principal.user_id, GenerationId(generation_id))
    return await attach(resources, row, last_event_id)


@router.get(
    "/chats/{chat_id}/stream",
    response_class=Response,
    responses=_SSE
    | {
        204: {"description": "The chat is not generating, and its last answer was heard."},
        404: {"description": "chat_not_found"},
    },
)
async def get_chat_stream(
    chat_id: BigIntId, principal: CurrentPrincipal, resources: AppResources, last_event_id: LastEventId = None
) -> Response:
    """The chat's live stream, or the last one if it ended while nobody listened."""
    async with resources.database.connect() as db:
        row = await queries.find_latest(db, principal.user_id, ChatId(chat_id))
    if row is None:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return await attach_unless_seen(resources, row, last_event_id)


@router.post("/generations/{generation_id}/cancel", responses={404: {"description": "generation_not_found"}})
async def cancel_generation(generation_id: UUID, principal: CurrentPrincipal, resources: AppResources) -> Receipt:
    """Stop a generation. What was streamed is kept. Of one that is over already, this only tells how it ended."""
    bind_contextvars(generation_id=str(generation_id))
    await cancel(resources, Generation.id == generation_id, Generation.user_id == principal.user_id)
    async with resources.database.connect() as db:
        row = await queries.find_generation(db, principal.user_id, GenerationId(generation_id))
    return await receipt(resources, row)


@router.post("/chats/{chat_id}/stop", responses={404: {"description": "chat_not_found"}})
async def stop_chat(chat_id: BigIntId, principal: CurrentPrincipal, resources: AppResources) -> Stopped:
    """Stop what the chat is generating, and what waits behind it."""
    async with resources.database.connect() as db:
        await queries.find_latest(db, principal.user_id, ChatId(chat_id))
    stopped = await cancel(resources, Generation.chat_id == chat_id, Generation.user_id == principal.user_id)
    return Stopped(stopped=await receipts(resources, stopped))
