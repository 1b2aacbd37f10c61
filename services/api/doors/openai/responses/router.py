"""Responses: ask for one, look at it, follow it from any place, cancel it, delete it. Source: docs/protocol.md, "Responses"."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bind_contextvars

from services.api.auth.principal import Principal
from services.api.bodies import JsonRequest, JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal, TakesStreamSlot
from services.api.doors.headers import IdempotencyKey
from services.api.doors.openai.responses import queries
from services.api.doors.openai.responses.asking import ask, checked, read
from services.api.doors.openai.responses.deciding import awaits_person, decide, find_asking
from services.api.doors.openai.responses.encoder import BEFORE_ALL, encode
from services.api.doors.openai.responses.events import IN_PROGRESS
from services.api.doors.openai.responses.ids import generation_of
from services.api.doors.openai.responses.includes import INCLUDES
from services.api.doors.openai.responses.objects import ResponseRow, begun, paused, present
from services.api.doors.openai.responses.output_items import Json, approval_id
from services.api.doors.openai.responses.pages import item_page
from services.api.doors.openai.responses.schemas import NewResponse
from services.api.doors.openai.responses.told import Over, Paused, Reader, Telling, tell
from services.api.doors.openai.responses.waiting import wait_for_end
from services.api.event_stream import event_stream
from services.api.fields import Digits
from services.api.generations.cancellation import cancel, end_deleted
from services.api.generations.queries import find_generation
from services.api.generations.receipts import make_receipt
from services.api.resources import Resources
from services.api.streaming.follow import StreamCut
from services.api.streaming.resume import Live, Saved, followed, resume
from shared.database.tables import Generation
from shared.errors import CompletionTimedOut, NotFound, ResponseNotFound
from shared.ids import OperationId
from shared.operations.telling import tell_all
from shared.protocol.feed_events import chat_deleted, memory_changed, messages_changed
from shared.protocol.json_lines import json_line
from shared.states import TERMINAL
from shared.streams.port import BEGINNING

router = APIRouter(route_class=JsonRoute, prefix="/v1/responses", tags=["Responses"])

MAX_NUMBER: Final = 2**53
_NO: Final = frozenset({"", "0", "false", "f", "no", "n", "off"})
"""How a query says no; FastAPI reads it in any case of letters."""
_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "response_not_found"}}
_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"application/json": {}, "text/event-stream": {}},
        "description": "The response; with `stream`, its events.",
    },
    429: {"description": "too_many_streams"},
    503: {"description": "database_unavailable, streams_unavailable"},
}


def _asks_for_events(request: Request) -> bool:
    """Whether a GET of a response asks for its stream. A look at the response is no stream."""
    return request.query_params.get("stream", "").lower() not in _NO


def _is_waited_for(request: Request) -> bool:
    """Whether the request for a response is held until its end. With `background` alone, it is answered at once."""
    body = request.read if isinstance(request, JsonRequest) else None
    return not (isinstance(body, dict) and body.get("background") is True and body.get("stream") is not True)


@router.post(
    "",
    response_class=Response,
    dependencies=[Depends(TakesStreamSlot(_is_waited_for))],
    responses=_RESPONSE
    | {
        400: {
            "description": "bad_request, validation_failed, parameter_not_supported, invalid_request, content_too_long, "
            "idempotency_key_reused"
        },
        404: {"description": "model_not_offered, response_not_found, conversation_not_found"},
        409: {"description": "generation_in_progress, approval_not_pending, items_changed"},
        429: {"description": "too_many_generations, too_many_requests, too_many_streams, quota_exceeded"},
        503: {"description": "queue_full, too_busy, completion_timed_out, database_unavailable, streams_unavailable"},
    },
)
async def create_response(
    request: Request, body: NewResponse, key: IdempotencyKey, principal: CurrentPrincipal, resources: AppResources
) -> Response:
    """Ask for a response. With `stream`, its events; with `background`, the response at once; else the response at its end.

    Answers to requests for approval let the response go on that asked. A request that is repeated with its Idempotency-Key gets
    the response of the first one. A client that leaves stops nothing, but a response that is not stored and that has no key.
    """
    database, limits = resources.database, resources.limits
    resources.message_rate.take(principal.user_id)
    given = read(body)
    if given.decisions:
        return await _decide(request, body, given.decisions, principal, resources)
    turn = await ask(
        database,
        resources.streams,
        resources.jobs,
        resources.metrics,
        limits,
        principal.user_id,
        body,
        given,
        key,
    )
    bind_contextvars(generation_id=str(turn.generation_id))
    async with database.connect() as db:
        row = await queries.find_response(db, principal.user_id, turn.generation_id)
    if body.background and not body.stream:
        return _json(present(row))
    first = await _found(resources, principal, row) if turn.is_repeated else _live(resources, row)
    leave = _stay if body.is_stored or key is not None else partial(_leave, resources, row)
    if body.stream:
        return _stream(resources, principal, row, first, BEFORE_ALL, leave)
    response = None
    told, find_end = _told(resources, principal, row, first, Reader())
    try:
        response = await wait_for_end(request, told, find_end, partial(_find_paused, row), limits.completion_seconds)
    except CompletionTimedOut:
        if not body.is_stored:
            raise
        response = await _find_now(resources, principal, row)
    finally:
        if response is None:
            leave()
    return _json(response or {})  # nobody reads it where the client has left


async def _decide(
    request: Request,
    body: NewResponse,
    decisions: Mapping[OperationId, bool],
    principal: Principal,
    resources: Resources,
) -> Response:
    """Decide what an answer has proposed. The response is the one that asked, which goes on: its stream has the rest alone."""
    database, mine = resources.database, principal.user_id
    checked(body, resources.limits)
    async with database.connect() as db:
        asked, row = await find_asking(db, mine, body, decisions.keys(), resources.limits)
    bind_contextvars(generation_id=str(row.id))
    # Before the decision: the log of an answer that waits can be made again where it is lost, that of one that goes on can't.
    first = await _found(resources, principal, row)
    await decide(database, resources.jobs, resources.streams.feed, mine, asked, decisions, principal.credential)
    if body.background and not body.stream:
        return _json(await _find_now(resources, principal, row))
    reader = Reader(answered=[approval_id(str(one.id)) for one in asked])
    if body.stream:
        return _stream(resources, principal, row, first, None, _stay, reader)
    told, find_end = _told(resources, principal, row, first, reader)
    within = resources.limits.completion_seconds
    try:
        response = await wait_for_end(request, told, find_end, partial(_find_paused, row), within)
    except CompletionTimedOut:
        response = await _find_now(resources, principal, row)
    return _json(response or {})


@router.get(
    "/{response_id}",
    response_class=Response,
    dependencies=[Depends(TakesStreamSlot(_asks_for_events)), INCLUDES],
    responses=_RESPONSE | _NOT_FOUND,
)
async def get_response(
    response_id: str,
    principal: CurrentPrincipal,
    resources: AppResources,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0, le=MAX_NUMBER), Digits] = None,
) -> Response:
    """A response as it is now; with `stream`, its events behind the number `starting_after`: live, late or years later."""
    row = await _find(resources, principal, response_id)
    if not stream:
        return _json(present(row))
    first = await _found(resources, principal, row)
    after = BEFORE_ALL if starting_after is None else starting_after
    return _stream(resources, principal, row, first, after, _stay)


@router.post("/{response_id}/cancel", response_class=Response, responses=_NOT_FOUND)
async def cancel_response(response_id: str, principal: CurrentPrincipal, resources: AppResources) -> Response:
    """Cancel a response. What was streamed is kept. For one that is over, this only tells how it ended.

    `receipt` says what is final.
    """
    database, streams = resources.database, resources.streams
    row = await _find(resources, principal, response_id)
    mine = Generation.user_id == principal.user_id
    await cancel(database, streams, resources.jobs, resources.metrics, Generation.id == row.id, mine)
    async with database.connect() as db:
        generation = await find_generation(db, principal.user_id, row.id)
    receipt = await make_receipt(streams.reader, generation)
    row = await _find(resources, principal, response_id)
    told = receipt.model_dump(mode="json", include={"status", "sequence", "last_event_id"})
    return _json({**present(row), "receipt": told})


@router.delete("/{response_id}", responses=_NOT_FOUND | {409: {"description": "turn_not_last"}})
async def delete_response(response_id: str, principal: CurrentPrincipal, resources: AppResources) -> Json:
    """Delete a response with its input. Its conversation's last one is the one before then; without any, it is gone too."""
    database, feed = resources.database, resources.streams.feed
    row = await _find(resources, principal, response_id)
    async with database.begin() as db:
        deleted, changed = await queries.delete_turn_of(db, principal.user_id, row, resources.limits.kept_messages)
    if changed is None:
        if not row.is_hidden:
            feed.tell(principal.user_id, chat_deleted(row.chat_id))
    else:
        feed.tell(principal.user_id, messages_changed(row.chat_id, changed.position))
        if changed.changes_memory:
            feed.tell(principal.user_id, memory_changed(row.chat_id))
        if changed.is_due:
            resources.jobs.summarize(row.chat_id)
    tell_all(resources.jobs, feed, deleted.refused)
    await end_deleted(resources.streams, deleted.generations)
    return {"id": response_id, "object": "response", "deleted": True}


@router.get("/{response_id}/input_items", dependencies=[INCLUDES], responses=_NOT_FOUND)
async def list_input_items(
    response_id: str,
    principal: CurrentPrincipal,
    resources: AppResources,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100), Digits] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> Json:
    """What a response was asked with: the last items first, unless `order` is `asc`."""
    row = await _find(resources, principal, response_id)
    return item_page(row.input if order == "asc" else row.input[::-1], after, limit)


async def _find(resources: Resources, principal: Principal, response_id: str) -> ResponseRow:
    async with resources.database.connect() as db:
        row = await queries.find_response(db, principal.user_id, generation_of(response_id))
    bind_contextvars(generation_id=str(row.id))
    return row


async def _found(resources: Resources, principal: Principal, row: ResponseRow) -> Saved | Live:
    """What is to be followed of a response, from its beginning.

    Raises:
        NotFound: the response was deleted a moment ago.
        StreamsUnavailable: the log can't be read now.

    """
    database, streams = resources.database, resources.streams
    async with database.connect() as db:
        generation = await find_generation(db, principal.user_id, row.id)
    resumed = await resume(database, streams.reader, streams.writer, resources.queue_positions, generation, None)
    if resumed is None:
        raise ResponseNotFound  # a reader who has nothing gets everything
    return _live(resources, row) if isinstance(resumed, Live) else resumed


def _live(resources: Resources, row: ResponseRow) -> Live:
    database, reader = resources.database, resources.streams.reader
    return Live(followed(database, reader, resources.queue_positions, row.id, tells_title=False), BEGINNING)


def _told(
    resources: Resources, principal: Principal, row: ResponseRow, first: Saved | Live, reader: Reader
) -> tuple[Telling, Callable[[Over], Awaitable[Json]]]:
    """What is told of a response to a reader, and what finds the whole response at its end."""
    resume = partial(_found, resources, principal, row)
    told = tell(row.assistant_message_id, first, resume, partial(_awaits_person, resources), reader)
    return told, partial(_find_end, resources, principal, row)


async def _awaits_person(resources: Resources, operation_ids: Sequence[OperationId]) -> bool:
    try:
        return await awaits_person(resources.database, operation_ids)
    except (SQLAlchemyError, OSError) as error:
        raise StreamCut(type(error).__name__) from error


def _stream(
    resources: Resources,
    principal: Principal,
    row: ResponseRow,
    first: Saved | Live,
    after: int | None,
    leave: Callable[[], None],
    reader: Reader | None = None,
) -> Response:
    reader = reader or Reader(max(after or BEFORE_ALL, IN_PROGRESS))
    told, find_end = _told(resources, principal, row, first, reader)
    headers = {"X-Generation-Id": str(row.id)}
    return event_stream(encode(told, begun(row), after, find_end, leave), headers)


def _stay() -> None:
    """The client has left, and the answer goes on."""


def _leave(resources: Resources, row: ResponseRow) -> None:
    """The client has left, and nobody can come for the answer: it is stopped."""
    resources.left_tasks.start(_stop(resources, row))


async def _stop(resources: Resources, row: ResponseRow) -> None:
    await cancel(resources.database, resources.streams, resources.jobs, resources.metrics, Generation.id == row.id)


async def _find_end(resources: Resources, principal: Principal, row: ResponseRow, ended: Over) -> Json:
    """The whole response once it is over. What was deleted meanwhile is cancelled.

    Raises:
        StreamCut: the row can't be read now.

    """
    try:
        async with resources.database.connect() as db:
            now = await queries.find_response(db, principal.user_id, row.id)
    except NotFound:
        now = None
    except (SQLAlchemyError, OSError) as error:
        raise StreamCut(type(error).__name__) from error
    if now is None or now.status not in TERMINAL:
        return {**begun(row), "status": "cancelled", "output": list(ended.output)}
    return present(now, ended.output)


def _find_paused(row: ResponseRow, one: Paused) -> Json:
    return paused(begun(row), one.output)


async def _find_now(resources: Resources, principal: Principal, row: ResponseRow) -> Json:
    async with resources.database.connect() as db:
        return present(await queries.find_response(db, principal.user_id, row.id))


def _json(value: Json) -> Response:
    return Response(json_line(value), media_type="application/json")
