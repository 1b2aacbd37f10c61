"""The native door: say something, follow the answer, find the answer again. Source: docs/protocol.md."""

from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from structlog.contextvars import bind_contextvars

from services.api import event_ids
from services.api.auth.principal import Principal
from services.api.dependencies import AppResources, ChatStreamReader, CurrentPrincipal, GenerationStreamReader
from services.api.doors.native.headers import IdempotencyKey, LastEventId
from services.api.doors.native.negotiation import prefers_async, wants_json
from services.api.doors.native.responses import accepted_response, nothing, stream_response
from services.api.doors.native.schemas import Accepted, EditedMessage, NewMessage, NewVersion
from services.api.fields import BigIntId
from services.api.generations import queries
from services.api.resources import Resources
from services.api.streaming.resume import Live, followed, resume, resume_unless_heard
from services.api.turns.accept import accept
from services.api.turns.new_versions import accept_edit, accept_regeneration
from services.api.turns.turn import Edit, NewTurn, Regeneration, Turn
from shared.ids import ChatId, GenerationId, MessageId
from shared.streams.port import BEGINNING

router = APIRouter(prefix="/api", tags=["generations"])

_SSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The frames, from the start or after Last-Event-ID."},
    204: {"description": "Last-Event-ID is the terminal frame's."},
    503: {"description": "database_unavailable, streams_unavailable"},
}
_TURN: Final[dict[int | str, dict[str, Any]]] = _SSE | {
    202: {"model": Accepted, "description": "With `Prefer: respond-async` or `Accept: application/json`."},
    204: {"description": "With the Idempotency-Key of an earlier message: Last-Event-ID is its terminal frame's."},
    404: {"description": "chat_not_found"},
    409: {"description": "generation_in_progress, with the live stream's URL"},
    422: {
        "description": "validation_failed, content_too_long, model_not_offered, idempotency_key_reused, invalid_request"
    },
    429: {"description": "too_many_generations, quota_exceeded"},
    503: {"description": "queue_full, too_busy, database_unavailable, streams_unavailable"},
}
_VERSION: Final[dict[int | str, dict[str, Any]]] = _TURN | {
    404: {"description": "chat_not_found, message_not_found"},
    422: {
        "description": "validation_failed, message_not_editable, content_too_long, model_not_offered, "
        "idempotency_key_reused, invalid_request"
    },
}


@router.post("/chats/{chat_id}/messages", response_class=Response, responses=_TURN)
async def post_message(
    request: Request,
    chat_id: BigIntId,
    body: NewMessage,
    key: IdempotencyKey,
    principal: CurrentPrincipal,
    resources: AppResources,
    last_event_id: LastEventId = None,
) -> Response:
    """Say something. The response streams the answer, or, when JSON is asked for, tells the path of the answer.

    A request that is repeated with its Idempotency-Key makes no second message: it gets the stream of the first one.
    """
    new = NewTurn(
        principal.user_id,
        ChatId(chat_id),
        body.content,
        on_conflict=body.on_conflict,
        model=body.model,
        time_zone=body.time_zone,
        key=key,
    )
    turn = await accept(resources.database, resources.streams, resources.jobs, resources.metrics, resources.limits, new)
    return await _answer(request, principal, resources, turn, last_event_id)


@router.post("/chats/{chat_id}/messages/{message_id}/regenerate", response_class=Response, responses=_VERSION)
async def regenerate(
    request: Request,
    chat_id: BigIntId,
    message_id: BigIntId,
    key: IdempotencyKey,
    principal: CurrentPrincipal,
    resources: AppResources,
    body: NewVersion | None = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Answer a message anew: a message of the user's, or the one that a reply answers. The response is that of a message.

    The replies so far, and all that follows them, become replaced.
    """
    body = body or NewVersion()
    new = Regeneration(
        principal.user_id,
        ChatId(chat_id),
        MessageId(message_id),
        on_conflict=body.on_conflict,
        model=body.model,
        time_zone=body.time_zone,
        key=key,
    )
    turn = await accept_regeneration(
        resources.database, resources.streams, resources.jobs, resources.metrics, resources.limits, new
    )
    return await _answer(request, principal, resources, turn, last_event_id)


@router.patch("/chats/{chat_id}/messages/{message_id}", response_class=Response, responses=_VERSION)
async def edit_message(
    request: Request,
    chat_id: BigIntId,
    message_id: BigIntId,
    body: EditedMessage,
    key: IdempotencyKey,
    principal: CurrentPrincipal,
    resources: AppResources,
    last_event_id: LastEventId = None,
) -> Response:
    """Say something else instead of a message of the user's, and have it answered. The response is that of a message.

    The message, and all that follows it, become replaced.
    """
    new = Edit(
        principal.user_id,
        ChatId(chat_id),
        MessageId(message_id),
        body.content,
        on_conflict=body.on_conflict,
        model=body.model,
        time_zone=body.time_zone,
        key=key,
    )
    turn = await accept_edit(
        resources.database, resources.streams, resources.jobs, resources.metrics, resources.limits, new
    )
    return await _answer(request, principal, resources, turn, last_event_id)


async def _answer(
    request: Request, principal: Principal, resources: Resources, turn: Turn, last_event_id: str | None
) -> Response:
    """The response to whatever opened a turn: the stream of its answer, or 202."""
    database, streams, queue_positions = resources.database, resources.streams, resources.queue_positions
    bind_contextvars(generation_id=str(turn.generation_id))
    if wants_json(request.headers):
        return accepted_response(turn, asked_by_prefer=prefers_async(request.headers))
    if not turn.is_repeated:
        stream = Live(followed(database, streams.reader, queue_positions, turn.generation_id), BEGINNING)
        return stream_response(stream, turn.generation_id, turn.assistant_message_id)
    async with database.connect() as db:
        row = await queries.find_generation(db, principal.user_id, turn.generation_id)
    has = event_ids.read(last_event_id, row.assistant_message_id)
    resumed = await resume(database, streams.reader, queue_positions, row, has)
    return stream_response(resumed, row.id, row.assistant_message_id, last_event_id)


@router.get(
    "/generations/{generation_id}/stream",
    response_class=Response,
    responses=_SSE | {404: {"description": "generation_not_found"}},
)
async def get_stream(
    generation_id: UUID, principal: GenerationStreamReader, resources: AppResources, last_event_id: LastEventId = None
) -> Response:
    """A generation's frames: live, late or years later, from the start or after Last-Event-ID."""
    bind_contextvars(generation_id=str(generation_id))
    database, reader = resources.database, resources.streams.reader
    async with database.connect() as db:
        row = await queries.find_generation(db, principal.user_id, GenerationId(generation_id))
    has = event_ids.read(last_event_id, row.assistant_message_id)
    resumed = await resume(database, reader, resources.queue_positions, row, has)
    return stream_response(resumed, row.id, row.assistant_message_id, last_event_id)


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
    chat_id: BigIntId, principal: ChatStreamReader, resources: AppResources, last_event_id: LastEventId = None
) -> Response:
    """The chat's live stream, or its last one if that ended while nobody listened."""
    database, reader = resources.database, resources.streams.reader
    async with database.connect() as db:
        row = await queries.find_latest(db, principal.user_id, ChatId(chat_id))
    if row is None:
        return nothing()
    bind_contextvars(generation_id=str(row.id))
    has = event_ids.read(last_event_id, row.assistant_message_id)
    resumed = await resume_unless_heard(database, reader, resources.queue_positions, row, has)
    return stream_response(resumed, row.id, row.assistant_message_id, last_event_id)
