"""The AI SDK's routes: say something, follow the answer, stop it, read the chat. Source: docs/protocol.md, the AI SDK's door."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from structlog.contextvars import bind_contextvars

from services.api.auth.principal import Principal
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal, TakesStreamSlot
from services.api.doors.ai_sdk import queries, views
from services.api.doors.ai_sdk.approval_stream import approval_response, knows_approvals
from services.api.doors.ai_sdk.approving import decide, find_answered
from services.api.doors.ai_sdk.asked import Answered, read_request
from services.api.doors.ai_sdk.operation_queries import CallOperation, find_proposed
from services.api.doors.ai_sdk.saying import say
from services.api.doors.ai_sdk.schemas import MAX_ID_CHARS, ChatName, ChatRequest, UIMessage
from services.api.doors.ai_sdk.ui_messages import to_ui_messages
from services.api.doors.responses import nothing, stream_response
from services.api.fields import Digits
from services.api.generations.queries import GenerationRow, find_generation, find_latest
from services.api.generations.schemas import Stopped
from services.api.generations.stopping import stop
from services.api.pages import link_previous
from services.api.resources import Resources
from services.api.streaming.resume import Live, Saved, followed, resume
from shared.database.engine import Connection
from shared.errors import ChatNotFound
from shared.ids import MAX_BIGINT, GenerationId, MessageId
from shared.states import GenerationStatus
from shared.streams.port import BEGINNING

router = APIRouter(route_class=JsonRoute, prefix="/api/chat", tags=["AI SDK"])

NameInPath = Annotated[ChatName, Path(max_length=MAX_ID_CHARS)]
"""Routes take the rest of the path for it, so that a name with a `/` is refused for what it has."""

_SSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The frames, from the start."},
    503: {"description": "database_unavailable, streams_unavailable"},
}


def _errors(**codes: str) -> dict[int | str, dict[str, Any]]:
    """The errors of a route: `_404="chat_not_found"`."""
    return {int(status[1:]): {"description": named} for status, named in codes.items()}


@router.post(
    "",
    response_class=Response,
    dependencies=[Depends(TakesStreamSlot())],
    responses=_SSE
    | _errors(
        _409="generation_in_progress, approval_not_pending",
        _413="payload_too_large",
        _415="unsupported_media_type",
        _422="validation_failed, part_not_supported, content_too_long, model_not_offered",
        _429="too_many_generations, too_many_requests, too_many_streams, quota_exceeded",
        _503="queue_full, too_busy, database_unavailable, streams_unavailable",
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": ChatRequest.model_json_schema()}},
        }
    },
)
async def post_chat(request: Request, principal: CurrentPrincipal, resources: AppResources) -> Response:
    """Say something, change what was said, have it answered anew, or answer what a tool call has proposed.

    The response streams the answer. A request that is repeated makes no second message.
    """
    database, streams, queue_positions = resources.database, resources.streams, resources.queue_positions
    asked = await read_request(request, resources.limits.message_chars)
    if isinstance(asked, Answered):
        return await _answer(asked, principal, resources)
    resources.message_rate.take(principal.user_id)
    said = await say(database, streams, resources.jobs, resources.metrics, resources.limits, principal.user_id, asked)
    bind_contextvars(generation_id=str(said.generation_id))
    if said.is_new:
        stream = Live(followed(database, streams.reader, queue_positions, said.generation_id), BEGINNING)
        return _stream(request, resources, stream, said.generation_id, said.reply_id)
    async with database.connect() as db:
        row = await find_generation(db, principal.user_id, said.generation_id)
    resumed = await resume(database, streams.reader, streams.writer, queue_positions, row, None)
    return _stream(request, resources, resumed, row.id, row.assistant_message_id)


@router.get(
    "/{chat_name:path}/stream",
    response_class=Response,
    dependencies=[Depends(TakesStreamSlot())],
    responses=_SSE
    | {204: {"description": "The chat is not generating, and its last answer is known to the client."}}
    | _errors(_404="not_found, for a name with a line end", _422="validation_failed", _429="too_many_streams"),
)
async def get_chat_stream(
    request: Request, chat_name: NameInPath, principal: CurrentPrincipal, resources: AppResources
) -> Response:
    """The chat's live answer from the start, else its newest, unless the client was shown all of that a moment ago.

    The SDK does not tell what it has, and what others have heard says nothing about it.
    """
    database, streams, queue_positions = resources.database, resources.streams, resources.queue_positions
    async with database.connect() as db:
        chat_id = await queries.find_chat(db, principal.user_id, chat_name)
        try:
            row = await find_latest(db, principal.user_id, chat_id) if chat_id else None
        except ChatNotFound:  # it was deleted a moment ago
            row = None
        is_known = row is not None and await _was_shown(db, request, row, principal)
    if row is None:
        return nothing()
    bind_contextvars(generation_id=str(row.id))
    if is_known:
        return nothing()
    resumed = await resume(database, streams.reader, streams.writer, queue_positions, row, None)
    return _stream(request, resources, resumed, row.id, row.assistant_message_id)


@router.post("/{chat_name:path}/stop", responses=_errors(_404="chat_not_found", _422="validation_failed"))
async def stop_chat(chat_name: NameInPath, principal: CurrentPrincipal, resources: AppResources) -> Stopped:
    """Stop what the chat is generating. What was streamed is kept."""
    async with resources.database.connect() as db:
        chat_id = await queries.find_chat(db, principal.user_id, chat_name)
    if chat_id is None:
        raise ChatNotFound
    return await stop(
        resources.database, resources.streams, resources.jobs, resources.metrics, principal.user_id, chat_id
    )


@router.get(
    "/{chat_name:path}", responses=_errors(_404="not_found, for a name with a line end", _422="validation_failed")
)
async def get_chat(
    request: Request,
    response: Response,
    chat_name: NameInPath,
    principal: CurrentPrincipal,
    resources: AppResources,
    before: Annotated[int | None, Query(ge=1, le=MAX_BIGINT, description="As `Link` has it."), Digits] = None,
) -> list[UIMessage]:
    """The chat's newest messages, without an answer that is not over: the stream has all of that. None of a new chat.

    `Link` has the messages before them. To a client that knows approvals, an answer that waits for its user is shown as far
    as it goes.
    """
    knows = knows_approvals(request.headers)
    async with resources.database.connect() as db:
        chat_id = await queries.find_chat(db, principal.user_id, chat_name)
        rows, first = await queries.list_messages(db, principal.user_id, chat_id, before) if chat_id else ([], None)
        newest = rows[-1].making if rows and before is None else None
        awaited = await _find_awaited(db, newest.id, newest.outcome.status) if newest and knows else []
        shown = [row for row in rows if not row.making or row.making.is_final or (awaited and row is rows[-1])]
        is_shown = not getattr(request.state, "is_head", False)
        if newest and shown and shown[-1] is rows[-1] and is_shown:
            await views.add_view(db, newest.id, views.viewer(principal, awaited))
    if first is not None:
        link_previous(request, response, before=first)
    return to_ui_messages(shown, awaited, knows_approvals=knows)


async def _answer(answered: Answered, principal: Principal, resources: Resources) -> Response:
    """Decide what a tool call has proposed, and stream what the client lacks of the answer."""
    database, streams, mine = resources.database, resources.streams, principal.user_id
    named = await find_answered(database, mine, answered)
    bind_contextvars(generation_id=str(named.id))
    async with database.connect() as db:
        row = await find_generation(db, mine, named.id)
    # Before the decision: the log of an answer that waits can be made again where it is lost, that of one that goes on can't.
    stream = await resume(database, streams.reader, streams.writer, resources.queue_positions, row, None)
    await decide(database, resources.jobs, streams.feed, mine, named.operations, answered.answers, principal.credential)
    return approval_response(database, stream, row.id, row.assistant_message_id, named.calls)


def _stream(
    request: Request,
    resources: Resources,
    stream: Saved | Live | None,
    generation_id: GenerationId,
    message_id: MessageId,
) -> Response:
    if knows_approvals(request.headers):
        return approval_response(resources.database, stream, generation_id, message_id)
    return stream_response(stream, generation_id, message_id)


async def _was_shown(db: Connection, request: Request, row: GenerationRow, principal: Principal) -> bool:
    """Whether a view has just shown this client all that the stream would tell."""
    awaited = await _find_awaited(db, row.id, row.status) if knows_approvals(request.headers) else []
    return await views.use_view(db, row.id, views.viewer(principal, awaited))


async def _find_awaited(db: Connection, generation_id: GenerationId, status: str) -> list[CallOperation]:
    """What a generation has proposed so far, if it waits for a person; else nothing."""
    if status != GenerationStatus.AWAITING_APPROVAL:
        return []
    proposed = await find_proposed(db, generation_id)
    return proposed if any(operation.awaits_person for operation in proposed) else []
