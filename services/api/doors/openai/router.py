"""The routes under /v1. Source: docs/protocol.md, the OpenAI door."""

import json
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from structlog.contextvars import bind_contextvars

from services.api.auth.principal import Principal
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal, TakesStreamSlot
from services.api.doors.headers import IdempotencyKey
from services.api.doors.openai.asked import to_parameters
from services.api.doors.openai.chunks import Chunks, Envelope, encode
from services.api.doors.openai.error_form import respond
from services.api.doors.openai.following import Resume
from services.api.doors.openai.progress import Failed
from services.api.doors.openai.schemas import ChatCompletion, Model, Models
from services.api.doors.openai.statuses import headers_of_code, status_of_code
from services.api.doors.openai.whole import wait_for
from services.api.event_stream import event_stream
from services.api.generations.cancellation import cancel
from services.api.generations.queries import find_generation
from services.api.problems.failure import Failure
from services.api.resources import Resources
from services.api.streaming.resume import Live, Saved, followed, resume
from services.api.turns.completion import accept_completion
from services.api.turns.turn import Completion, Turn
from shared.database.tables import Generation
from shared.errors import ModelNotFound
from shared.ids import GenerationId
from shared.streams.port import BEGINNING

router = APIRouter(route_class=JsonRoute, prefix="/v1", tags=["OpenAI"])

OWNER: Final = "cortexai"
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/json": {}, "text/event-stream": {}}, "description": "The answer, or its chunks."},
    400: {"description": "parameter_not_supported, part_not_supported, prompt_too_long, model_rejected"},
    404: {"description": "model_not_offered"},
    413: {"description": "payload_too_large"},
    415: {"description": "unsupported_media_type"},
    429: {"description": "too_many_generations, too_many_requests, too_many_streams, quota_exceeded"},
    502: {"description": "model_auth_failed, model_bad_response, model_said_nothing and the like"},
    504: {"description": "model_timeout"},
    503: {
        "description": "queue_full, too_busy, completion_timed_out, model_unavailable, worker_lost, streams_unavailable"
    },
}


@router.get("/models")
async def list_models(principal: CurrentPrincipal, resources: AppResources) -> Models:
    """The models that are on offer, the default one first."""
    del principal
    return Models(data=[_model(name) for name in resources.limits.offered_models])


@router.get("/models/{model:path}", responses={404: {"description": "model_not_found"}})
async def get_model(model: str, principal: CurrentPrincipal, resources: AppResources) -> Model:
    """One of the models that are on offer."""
    del principal
    if model not in resources.limits.offered_models:
        raise ModelNotFound
    return _model(model)


def _model(name: str) -> Model:
    owner, slash, _ = name.partition("/")
    return Model(id=name, owned_by=owner if slash else OWNER)


@router.post(
    "/chat/completions",
    response_class=Response,
    dependencies=[Depends(TakesStreamSlot())],
    responses=_RESPONSES,
)
async def complete_chat(
    request: Request, body: ChatCompletion, key: IdempotencyKey, principal: CurrentPrincipal, resources: AppResources
) -> Response:
    """Have the request's messages answered. They are the whole context: nothing of other requests or chats is told.

    A client that leaves stops its answer, unless the request has an Idempotency-Key: then the request may be repeated.
    """
    parameters = to_parameters(body)
    resources.message_rate.take(principal.user_id)
    new = Completion(principal.user_id, "chat.completion", parameters, body.model, key)
    turn = await accept_completion(resources.database, resources.jobs, resources.limits, new)
    bind_contextvars(generation_id=str(turn.generation_id))
    again = partial(_resume, resources, principal, turn.generation_id)
    stream = await again() if turn.is_repeated else _begun(resources, turn)
    leave = partial(_leave, resources, turn.generation_id, is_kept=key is not None)
    envelope = Envelope(turn.generation_id, turn.created_at, body.model)
    headers = {"X-Generation-Id": str(turn.generation_id)}
    if body.stream:
        options = body.stream_options
        chunks = Chunks(envelope, tells_usage=bool(options and options.include_usage))
        return event_stream(encode(stream, chunks, again, leave), headers)
    return await _whole(request, resources, stream, envelope, again, leave, headers)


def _begun(resources: Resources, turn: Turn) -> Live:
    streams = resources.streams
    live = followed(
        resources.database, streams.reader, resources.queue_positions, turn.generation_id, tells_title=False
    )
    return Live(live, BEGINNING)


async def _resume(resources: Resources, principal: Principal, generation_id: GenerationId) -> Saved | Live:
    """The answer from its beginning.

    Raises:
        GenerationNotFound: the generation is gone.
        StreamsUnavailable: the log can't be read now.

    """
    database, streams = resources.database, resources.streams
    async with database.connect() as db:
        row = await find_generation(db, principal.user_id, generation_id)
    found = await resume(database, streams.reader, streams.writer, resources.queue_positions, row, None)
    if found is None:
        raise AssertionError("a reader without an offset has something to read")
    return found


def _leave(resources: Resources, generation_id: GenerationId, *, is_kept: bool) -> None:
    """The client has left. The answer is stopped, unless somebody may come for it: the request's task is over by now."""
    if not is_kept:
        resources.left_tasks.start(_stop(resources, generation_id))


async def _stop(resources: Resources, generation_id: GenerationId) -> None:
    await cancel(
        resources.database, resources.streams, resources.jobs, resources.metrics, Generation.id == generation_id
    )


async def _whole(
    request: Request,
    resources: Resources,
    stream: Saved | Live,
    envelope: Envelope,
    again: Resume,
    leave: Callable[[], None],
    headers: dict[str, str],
) -> Response:
    """The answer as one object, once it is there."""
    ended: dict[str, Any] | Failed | None = None
    try:
        ended = await wait_for(request, stream, envelope, again, resources.limits.completion_seconds)
    finally:
        if ended is None:
            leave()
    match ended:
        case Failed(code, message):
            failure = Failure(status_of_code(code), code, message, headers=headers | headers_of_code(code))
            return respond(failure)
        case None:
            return Response(status_code=HTTPStatus.NO_CONTENT)  # nobody reads it
        case _:
            return Response(json.dumps(ended), headers=headers, media_type="application/json")
