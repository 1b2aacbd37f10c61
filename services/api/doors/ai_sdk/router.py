"""The AI SDK's routes: say something, follow the answer, stop it, read the chat. Source: docs/protocol.md, the AI SDK's door."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from structlog.contextvars import bind_contextvars

from services.api.auth.principal import Principal
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.doors.ai_sdk import queries, views
from services.api.doors.ai_sdk.asked import read_request
from services.api.doors.ai_sdk.saying import say
from services.api.doors.ai_sdk.schemas import MAX_ID_CHARS, ChatName, ChatRequest, UIMessage
from services.api.doors.ai_sdk.ui_messages import to_ui_messages
from services.api.doors.responses import nothing, stream_response
from services.api.generations.queries import find_generation, find_latest
from services.api.generations.schemas import Stopped
from services.api.generations.stopping import stop
from services.api.streaming.resume import Live, followed, resume
from shared.errors import ChatNotFound
from shared.streams.port import BEGINNING

router = APIRouter(prefix="/api/chat", tags=["AI SDK"])

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
    responses=_SSE
    | _errors(
        _409="generation_in_progress, approval_not_pending",
        _413="payload_too_large",
        _415="unsupported_media_type",
        _422="validation_failed, part_not_supported, content_too_long, model_not_offered",
        _429="too_many_generations, quota_exceeded",
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
    """Say something, change what was said, or have it answered anew; the response streams the answer.

    A request that is repeated makes no second message.
    """
    database, streams, queue_positions = resources.database, resources.streams, resources.queue_positions
    asked = await read_request(request, resources.limits.message_chars)
    said = await say(database, streams, resources.jobs, resources.metrics, resources.limits, principal.user_id, asked)
    bind_contextvars(generation_id=str(said.generation_id))
    if said.is_new:
        stream = Live(followed(database, streams.reader, queue_positions, said.generation_id), BEGINNING)
        return stream_response(stream, said.generation_id, said.reply_id)
    async with database.connect() as db:
        row = await find_generation(db, principal.user_id, said.generation_id)
    resumed = await resume(database, streams.reader, streams.writer, queue_positions, row, None)
    return stream_response(resumed, row.id, row.assistant_message_id)


@router.get(
    "/{chat_name:path}/stream",
    response_class=Response,
    responses=_SSE
    | {204: {"description": "The chat is not generating, and its last answer is known to the client."}}
    | _errors(_422="validation_failed"),
)
async def get_chat_stream(chat_name: NameInPath, principal: CurrentPrincipal, resources: AppResources) -> Response:
    """The chat's live answer from the start, else its newest, unless the client was shown that answer a moment ago.

    The SDK does not tell what it has, and what others have heard says nothing about it.
    """
    database, streams, queue_positions = resources.database, resources.streams, resources.queue_positions
    async with database.connect() as db:
        chat_id = await queries.find_chat(db, principal.user_id, chat_name)
        try:
            row = await find_latest(db, principal.user_id, chat_id) if chat_id else None
        except ChatNotFound:  # it was deleted a moment ago
            row = None
        is_known = row is not None and await views.use_view(db, row.id, _viewer(principal))
    if row is None:
        return nothing()
    bind_contextvars(generation_id=str(row.id))
    if is_known:
        return nothing()
    resumed = await resume(database, streams.reader, streams.writer, queue_positions, row, None)
    return stream_response(resumed, row.id, row.assistant_message_id)


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


@router.get("/{chat_name:path}", responses=_errors(_422="validation_failed"))
async def get_chat(
    response: Response, chat_name: NameInPath, principal: CurrentPrincipal, resources: AppResources
) -> list[UIMessage]:
    """The chat's messages, without an answer that is not over: the stream has all of that. None of a chat that is new."""
    response.headers["Cache-Control"] = "no-store"  # what the stream has next depends on this view
    async with resources.database.connect() as db:
        chat_id = await queries.find_chat(db, principal.user_id, chat_name)
        rows = await queries.list_messages(db, principal.user_id, chat_id) if chat_id else []
        shown = [row for row in rows if not row.making or row.making.is_final]
        if shown and shown[-1] is rows[-1] and (last := shown[-1].making):
            await views.add_view(db, last.id, _viewer(principal))
    return to_ui_messages(shown)


def _viewer(principal: Principal) -> str:
    """Who looks at a chat, as far as the door can tell: the same for all tabs of a browser, another for each device."""
    return principal.credential_hash.hex()[:32]
