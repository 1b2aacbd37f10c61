"""From a request for a response to a turn: where its message goes, and what the model is told besides."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from pydantic import ValidationError

from services.api.doors.openai.responses import queries
from services.api.doors.openai.responses.context import in_order, messages_of
from services.api.doors.openai.responses.events import Json
from services.api.doors.openai.responses.ids import chat_of, generation_of
from services.api.doors.openai.responses.input_items import GivenInput, read_input
from services.api.doors.openai.responses.objects import PlacedTurn, ResponseRow, user_item
from services.api.doors.openai.responses.schemas import NewResponse
from services.api.limits import Limits
from services.api.turns.accept import accept
from services.api.turns.completion import accept_completion
from services.api.turns.idempotency import find_repeated, sent_key
from services.api.turns.limits import check_message, check_parameters
from services.api.turns.new_versions import accept_branch
from services.api.turns.opening import accept_opening
from services.api.turns.turn import Branch, Completion, Key, NewTurn, Opening, Turn
from shared.database.engine import Database
from shared.errors import (
    ChatNotFound,
    ContentTooLong,
    ConversationNotFound,
    InvalidInput,
    ParameterNotSupported,
    ResponseNotFound,
)
from shared.generations.parameters import MAX_CALLS, MAX_MESSAGES, MAX_TEXT_CHARS, GivenMessage, Parameters
from shared.ids import ChatId, UserId
from shared.jobs.sender import JobSender
from shared.memory.chat_memory import read_taken_back
from shared.streams.redis import Streams
from shared.telemetry.metrics import Metrics

KIND: Final = "response"


class _Place(NamedTuple):
    """Where a message goes: behind the response `previous`, else at the end of `chat_id`; into a new chat where both are None.

    `path` are the turns before it, where the model is told them by the request; None where the worker tells it the chat.
    `taken_back` is what the user took back in them.
    """

    chat_id: ChatId | None = None
    previous: ResponseRow | None = None
    path: Sequence[PlacedTurn] | None = None
    taken_back: Sequence[tuple[int, str]] = ()


async def ask(
    database: Database,
    streams: Streams,
    jobs: JobSender,
    metrics: Metrics,
    limits: Limits,
    user_id: UserId,
    body: NewResponse,
    given: GivenInput,
    key: str | None,
) -> Turn:
    """Accept a request for a response. Its stream may be read from now on. `given` is the input that `read` has read.

    Raises:
        ParameterNotSupported: the model can't do what is asked for, or a tool is of a kind that is not supported.
        ResponseNotFound, ConversationNotFound: what the request refers to is absent, or another user's.
        CortexAIError: as `turns.accept.accept`, `accept_branch`, `accept_opening` and `accept_completion`.

    """
    body, parameters = _checked(body, given, limits)
    sent = _sent(body, given)
    if key is not None and (repeated := await _find_repeated(database, user_id, sent_key(key, sent, parameters))):
        return repeated
    place = await _find_place(database, user_id, body, given)
    parameters = await _with_context(parameters, place, given)
    # Other doors show the conversation too: there, results of calls stand for what the user says.
    content = given.text or given.results[: limits.message_chars]
    # A hidden chat's message has no text.
    items = given.items if given.items is not None or body.is_stored else [user_item(given.text)]
    response = {"asked": body.told(), **({"input": items} if items is not None else {})}
    if not body.is_stored:
        completion = Completion(user_id, KIND, parameters, body.model, key, response, sent)
        return await accept_completion(database, jobs, limits, completion)
    if place.previous is not None:
        branch = Branch(
            user_id,
            place.previous.chat_id,
            place.previous.assistant_message_id,
            content,
            model=body.model,
            key=key,
            parameters=parameters,
            response=response,
            sent=sent,
        )
        return await accept_branch(database, streams, jobs, metrics, limits, branch)
    if place.chat_id is None:
        opening = Opening(user_id, content, body.model, key, parameters, response, sent)
        return await accept_opening(database, streams.feed, jobs, limits, opening)
    turn = NewTurn(
        user_id, place.chat_id, content, model=body.model, key=key, parameters=parameters, response=response, sent=sent
    )
    return await accept(database, streams, jobs, metrics, limits, turn)


def _checked(body: NewResponse, given: GivenInput, limits: Limits) -> tuple[NewResponse, Parameters]:
    """The request as it is answered, and what it asks of the model besides its context.

    Raises:
        ParameterNotSupported, InvalidInput, ModelNotOffered: as `ask`, for what needs no look into the database.

    """
    if body.temperature is None:  # a response tells its temperature: the model is asked with the one that is told
        body = body.model_copy(update={"temperature": limits.temperature})
    with _refusing():
        parameters = body.parameters()
    if len(given.text) > limits.message_chars:
        raise ContentTooLong(limits.message_chars, "input")
    check_message("", body.model, limits)
    _check(parameters, body.model, limits)
    if not given.messages:
        raise InvalidInput("input: must have something that the model can be told", field="input")
    return body, parameters


def _sent(body: NewResponse, given: GivenInput) -> Json:
    """What the client sent, by which a repeated request is compared: by the names that it has for what it refers to.

    What they name may be another, or gone, when the request is repeated.
    """
    said = given.text if given.items is None else given.items
    return {"asked": body.told(), "conversation": body.conversation_id, "input": said}


async def _find_repeated(database: Database, user_id: UserId, key: Key) -> Turn | None:
    """The turn that was accepted with this key. Looked up before what the request refers to.

    Raises:
        IdempotencyKeyReused: the key was used before, with another request.
        ConversationNotFound: its conversation is in the trash.

    """
    async with database.connect() as db:
        try:
            return await find_repeated(db, user_id, key)
        except ChatNotFound:
            raise ConversationNotFound from None


async def _with_context(parameters: Parameters, place: _Place, given: GivenInput) -> Parameters:
    """The parameters with all that the model is told, where the request has to tell it. Raises as `_told`."""
    if place.path is None:
        return parameters
    if place.taken_back:  # to mask long texts takes a while
        told = await asyncio.to_thread(_told, place.path, place.taken_back, given)
    else:
        told = _told(place.path, (), given)
    with _refusing():
        return Parameters.model_validate({**dict(parameters), "messages": told})


def _told(path: Sequence[PlacedTurn], taken_back: Sequence[tuple[int, str]], given: GivenInput) -> list[GivenMessage]:
    """What the model is told: what was said in these turns, and the input.

    Raises:
        InvalidInput: that is too long, or the input has a result of a call that nobody made.

    """
    before = messages_of(path, taken_back)
    made = {call.id for message in before for call in message.calls}
    for call_id, field in given.awaited.items():
        if call_id not in made:
            raise InvalidInput(f"{field}: must name a call that was made before", field=field)
    told = [*before, *given.messages]
    if len(told) > MAX_MESSAGES or sum(len(message.content) for message in told) > MAX_TEXT_CHARS:
        raise InvalidInput("input: with what came before, it is too long", field="input")
    try:
        return in_order(told)
    except ValidationError as error:
        raise InvalidInput(f"input: must have at most {MAX_CALLS} calls at once", field="input") from error


def read(body: NewResponse) -> GivenInput:
    """The input of a request, which asks for nothing that is not supported.

    Raises:
        InvalidInput: the input can't be used.
        ParameterNotSupported: something is asked for that is not supported.

    """
    body.insist_on_supported()
    with _refusing():
        return read_input(body.input)


@contextmanager
def _refusing() -> Iterator[None]:
    """Refuse what is out of the bounds of the parameters' types."""
    try:
        yield
    except ValidationError as error:
        found = error.errors()[0]
        field = ".".join(str(part) for part in found["loc"])
        raise InvalidInput(f"{field}: {found['msg'].removeprefix('Value error, ')}", field=field) from error


def _check(parameters: Parameters, model: str, limits: Limits) -> None:
    """Refuse what the model can't do, by this door's names of the parameters."""
    names = {"reasoning_effort": "reasoning.effort", "response_format": "text.format"}
    try:
        check_parameters(parameters, model, limits)
    except ParameterNotSupported as error:
        field = error.field or ""
        if field not in names:
            raise
        raise ParameterNotSupported(names[field], error.message.removeprefix(f"{field}: ")) from error


async def _find_place(database: Database, user_id: UserId, body: NewResponse, given: GivenInput) -> _Place:
    """Where the message goes, with the turns before it where the request has to tell them.

    The worker tells a chat's texts by itself, with its memory. It does not tell what is no text of the user's or the
    assistant's: then, and where nothing is kept, the request brings everything along.
    """
    previous, chat_id = None, None
    async with database.connect() as db:
        if body.previous_response_id is not None:
            previous = await queries.find_response(db, user_id, generation_of(body.previous_response_id))
            if previous.is_hidden:
                raise ResponseNotFound
            chat_id = previous.chat_id
        elif body.conversation_id is not None:
            chat_id = (await queries.find_conversation(db, user_id, chat_of(body.conversation_id))).id
        is_rich = not given.is_plain or not body.is_stored
        if chat_id is None:
            return _Place(path=() if is_rich else None)
        if not is_rich:
            is_rich = await queries.has_rich_input(db, chat_id)
        if not is_rich:
            return _Place(chat_id, previous)
        path = await queries.list_path(db, chat_id, previous.assistant_message_id if previous else None)
        taken_back = await read_taken_back(db, chat_id)
    return _Place(chat_id, previous, path, taken_back)
