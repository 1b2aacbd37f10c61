"""The native door: say something, follow the answer, find the answer again. Source: docs/protocol.md."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from structlog.contextvars import bind_contextvars

from services.api import event_ids
from services.api.auth.principal import Principal
from services.api.bodies import JsonRoute
from services.api.dependencies import (
    AppResources,
    ChatStreamReader,
    CurrentPrincipal,
    GenerationStreamReader,
    TakesStreamSlot,
)
from services.api.doors.headers import IdempotencyKey, LastEventId
from services.api.doors.native.negotiation import prefers_async, wants_json
from services.api.doors.native.responses import accepted_response
from services.api.doors.native.schemas import Accepted, EditedMessage, NewMessage, NewVersion
from services.api.doors.responses import nothing, stream_response
from services.api.fields import BigIntId, Digits, Uuid
from services.api.generations import queries
from services.api.generations.queries import GenerationRow
from services.api.resources import Resources
from services.api.streaming.resume import Live, followed, resume, terminal_entry
from services.api.turns.accept import accept
from services.api.turns.new_versions import accept_edit, accept_regeneration
from services.api.turns.turn import Edit, NewTurn, Regeneration, Turn
from shared.ids import MAX_BIGINT, ChatId, GenerationId, MessageId
from shared.streams.port import BEGINNING

router = APIRouter(route_class=JsonRoute, prefix="/api", tags=["generations"])

_SSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The frames, from the start or after Last-Event-ID."},
    429: {"description": "too_many_streams"},
    503: {"description": "database_unavailable, streams_unavailable"},
}
_SLOT: Final = Depends(TakesStreamSlot(lambda request: not wants_json(request.headers)))
_TURN: Final[dict[int | str, dict[str, Any]]] = _SSE | {
    202: {"model": Accepted, "description": "With `Prefer: respond-async` or `Accept: application/json`."},
    404: {"description": "chat_not_found"},
    409: {"description": "generation_in_progress, with the live stream's URL"},
    422: {
        "description": "validation_failed, content_too_long, model_not_offered, idempotency_key_reused, invalid_request"
    },
    429: {"description": "too_many_generations, too_many_requests, too_many_streams, quota_exceeded"},
    503: {"description": "queue_full, too_busy, database_unavailable, streams_unavailable"},
}
_VERSION: Final[dict[int | str, dict[str, Any]]] = _TURN | {
    404: {"description": "chat_not_found, message_not_found"},
    422: {
        "description": "validation_failed, message_not_editable, content_too_long, model_not_offered, "
        "idempotency_key_reused, invalid_request"
    },
}


@router.post("/chats/{chat_id}/messages", response_class=Response, responses=_TURN, dependencies=[_SLOT])
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

    A request that is repeated with its Idempotency-Key makes no second message: it gets the stream of the first one. So
    does a request that has the Last-Event-ID of any answer of the chat: it gets the rest of that answer.
    """
    rest = await _rest_of_answer(last_event_id, resources, principal, ChatId(chat_id))
    if rest is not None:
        return rest
    resources.message_rate.take(principal.user_id)
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


@router.post(
    "/chats/{chat_id}/messages/{message_id}/regenerate",
    response_class=Response,
    responses=_VERSION,
    dependencies=[_SLOT],
)
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

    The replies so far, and all that follows them, become replaced. With a Last-Event-ID, as for a message.
    """
    rest = await _rest_of_answer(last_event_id, resources, principal, ChatId(chat_id))
    if rest is not None:
        return rest
    resources.message_rate.take(principal.user_id)
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


@router.patch(
    "/chats/{chat_id}/messages/{message_id}", response_class=Response, responses=_VERSION, dependencies=[_SLOT]
)
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

    The message, and all that follows it, become replaced. With a Last-Event-ID, as for a message.
    """
    rest = await _rest_of_answer(last_event_id, resources, principal, ChatId(chat_id))
    if rest is not None:
        return rest
    resources.message_rate.take(principal.user_id)
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
        tells_title = turn.awaits_title
        live = followed(database, streams.reader, queue_positions, turn.generation_id, tells_title=tells_title)
        return stream_response(Live(live, BEGINNING), turn.generation_id, turn.assistant_message_id)
    async with database.connect() as db:
        row = await queries.find_generation(db, principal.user_id, turn.generation_id)
    return await _resumed(resources, row, last_event_id, is_post=True)


@router.get(
    "/generations/{generation_id}/stream",
    response_class=Response,
    dependencies=[Depends(TakesStreamSlot())],
    responses=_SSE
    | {
        204: {"description": "Last-Event-ID is the terminal frame's."},
        404: {"description": "generation_not_found"},
    },
)
async def get_stream(
    generation_id: Uuid, principal: GenerationStreamReader, resources: AppResources, last_event_id: LastEventId = None
) -> Response:
    """A generation's frames: live, late or years later, from the start or after Last-Event-ID."""
    bind_contextvars(generation_id=str(generation_id))
    async with resources.database.connect() as db:
        row = await queries.find_generation(db, principal.user_id, GenerationId(generation_id))
    return await _resumed(resources, row, last_event_id)


@router.get(
    "/chats/{chat_id}/stream",
    response_class=Response,
    dependencies=[Depends(TakesStreamSlot())],
    responses=_SSE
    | {
        204: {"description": "The chat has no answer, or none after the one that the client has."},
        404: {"description": "chat_not_found"},
    },
)
async def get_chat_stream(
    chat_id: BigIntId,
    principal: ChatStreamReader,
    resources: AppResources,
    after: Annotated[
        int | None,
        Query(ge=0, le=MAX_BIGINT, description="The newest reply that the client has whole; 0 when it has none."),
        Digits,
    ] = None,
    last_event_id: LastEventId = None,
) -> Response:
    """An answer of the chat, from the start or after Last-Event-ID: the first one that the client does not have.

    A client that does not say what it has gets the live answer, else the newest. 204 is only for who has all answers.
    """
    answer = await _answer_of(last_event_id, resources, principal, ChatId(chat_id))
    if answer is not None:
        response = await _resumed(resources, answer, last_event_id)
        if response.status_code != HTTPStatus.NO_CONTENT:
            return response
        last_event_id, after = None, answer.assistant_message_id
    async with resources.database.connect() as db:
        if after is None:
            row = await queries.find_latest(db, principal.user_id, ChatId(chat_id))
        else:
            await queries.check_chat(db, principal.user_id, ChatId(chat_id))
            row = await queries.find_next(db, principal.user_id, ChatId(chat_id), after)
    return nothing() if row is None else await _resumed(resources, row, last_event_id)


async def _rest_of_answer(
    event_id: str | None, resources: Resources, principal: Principal, chat_id: ChatId
) -> Response | None:
    """The response to a client that repeats its request after a cut; None when the event id names no answer of the chat."""
    answer = await _answer_of(event_id, resources, principal, chat_id)
    return None if answer is None else await _resumed(resources, answer, event_id, is_post=True)


async def _answer_of(
    event_id: str | None, resources: Resources, principal: Principal, chat_id: ChatId
) -> GenerationRow | None:
    """The generation of the chat's reply that a client reads; None when the event id names none."""
    message_id = event_ids.message_of(event_id)
    if message_id is None:
        return None
    async with resources.database.connect() as db:
        return await queries.find_answer(db, principal.user_id, chat_id, message_id)


async def _resumed(
    resources: Resources, row: GenerationRow, last_event_id: str | None, *, is_post: bool = False
) -> Response:
    """A generation's frames after an event id. A POST by a client that has all of them gets the terminal frame again.

    204 ends an EventSource, but fetch-event-source, which POSTs, takes it for a failure and asks again each second.
    """
    bind_contextvars(generation_id=str(row.id))
    database, streams = resources.database, resources.streams
    has = event_ids.read(last_event_id, row.assistant_message_id)
    resumed = await resume(database, streams.reader, streams.writer, resources.queue_positions, row, has)
    if resumed is None and is_post:
        resumed = await terminal_entry(database, streams.reader, row)
    return stream_response(resumed, row.id, row.assistant_message_id, last_event_id)
