"""From a request for a response to a turn: where its message goes, and what the model is told besides."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from pydantic import ValidationError

from services.api.doors.openai.responses import item_queries, queries
from services.api.doors.openai.responses.ids import chat_of, generation_of
from services.api.doors.openai.responses.input_items import GivenInput, insist_on_calls, read_input, with_added
from services.api.doors.openai.responses.item_queries import FoundItem, WaitingItem
from services.api.doors.openai.responses.objects import ResponseRow
from services.api.doors.openai.responses.output_items import Json
from services.api.doors.openai.responses.schemas import NewResponse
from services.api.limits import Limits
from services.api.turns.accept import accept
from services.api.turns.completion import accept_completion
from services.api.turns.idempotency import find_repeated, sent_key
from services.api.turns.limits import check_message, check_parameters
from services.api.turns.new_versions import accept_branch
from services.api.turns.opening import accept_opening
from services.api.turns.turn import Branch, Completion, Key, NewTurn, Opening, Turn
from shared.database.engine import Connection, Database
from shared.errors import (
    ChatNotFound,
    ContentTooLong,
    ConversationNotFound,
    InvalidInput,
    ItemNotFound,
    ParameterNotSupported,
    ResponseNotFound,
)
from shared.generations.parameters import MAX_CALLS, MAX_TEXT_CHARS, GivenMessage, Parameters
from shared.generations.told_path import Earlier, has_too_many_calls, made_calls, tell_all, unanswered
from shared.ids import ChatId, UserId
from shared.jobs.sender import JobSender
from shared.streams.redis import Streams
from shared.telemetry.metrics import Metrics

KIND: Final = "response"
MAX_REFERENCES: Final = 100
"""Of one input."""


class _Place(NamedTuple):
    """Where a message goes: behind the response `previous`, else at the end of `chat_id`; into a new chat where both are None.

    `earlier` is what was said before it, where the model is told the items; None where the worker tells the chat by itself.
    `waiting` are the items that the message takes as the beginning of its input.
    """

    chat_id: ChatId | None = None
    previous: ResponseRow | None = None
    earlier: Earlier | None = None
    waiting: Sequence[WaitingItem] = ()

    @property
    def end(self) -> int | None:
        """The position of the last message of `earlier`, 0 where that has none; None where `earlier` is None."""
        if self.earlier is None:
            return None
        return self.earlier.path[-1].position if self.earlier.path else 0


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
        ResponseNotFound, ConversationNotFound, ItemNotFound: what the request refers to is absent, or another user's.
        ItemsChanged: the items that waited, or the turns that the model is told, have changed meanwhile.
        CortexAIError: as `turns.accept.accept`, `accept_branch`, `accept_opening` and `accept_completion`.

    """
    parameters = _checked(body, given, limits)
    sent = _sent(body, given)
    if key is not None and (repeated := await _find_repeated(database, user_id, sent_key(key, sent, parameters))):
        return repeated
    if body.temperature is None:  # a response tells its temperature, so the model is asked with the one that is told
        body = body.model_copy(update={"temperature": limits.temperature})
        parameters = parameters.model_copy(update={"temperature": limits.temperature})
    place, given = await _find_place(database, user_id, body, given, limits)
    parameters = await _with_context(parameters, place, body, given, limits)
    # Other doors show the conversation too: there, results of calls stand for what the user says.
    content = given.text or given.results[: limits.message_chars]
    response: Json = {"asked": body.told()}
    if not (given.is_plain and body.is_stored):  # a hidden chat's message has no text
        response["input"] = given.all_items
    if place.waiting and body.is_stored:
        response["added"] = [one.item["id"] for one in place.waiting]
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
        user_id,
        place.chat_id,
        content,
        model=body.model,
        key=key,
        parameters=parameters,
        response=response,
        sent=sent,
        takes=tuple(one.number for one in place.waiting),
        follows=place.end,
    )
    return await accept(database, streams, jobs, metrics, limits, turn)


def _checked(body: NewResponse, given: GivenInput, limits: Limits) -> Parameters:
    """What a request asks of the model besides its context.

    Raises:
        ParameterNotSupported, InvalidInput, ModelNotOffered: as `ask`, for what needs no look into the database.

    """
    with _refusing():
        parameters = body.parameters()
    if not given.references:
        _insist_on_words(given, limits)
    check_message("", body.model, limits)
    _check(parameters, body.model, limits)
    return parameters


def _insist_on_words(given: GivenInput, limits: Limits) -> None:
    """Refuse an input that says nothing, or too much at once."""
    if len(given.text) > limits.message_chars:
        raise ContentTooLong(limits.message_chars, "input")
    if not given.messages:
        raise InvalidInput("input: must have something that the model can be told", field="input")


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


async def _with_context(
    parameters: Parameters, place: _Place, body: NewResponse, given: GivenInput, limits: Limits
) -> Parameters:
    """The parameters with the messages that the model is told, where it is told items.

    A stored response keeps its own input alone: its worker puts what came before in front of it (told_path.py). One that is not
    stored is in no conversation, so it keeps all that it is told for as long as it lives.

    Raises:
        InvalidInput: there is too much to tell, a result of a call that nobody made, or a call without its result.
        ParameterNotSupported: the model can't call tools, and what it is told has calls.

    """
    if place.earlier is None:
        return parameters
    if place.earlier.taken_back:  # to mask long texts takes a while
        told = await asyncio.to_thread(_told, place.earlier, given)
    else:
        told = _told(place.earlier, given)
    with _refusing():
        whole = Parameters.model_validate({**dict(parameters), "messages": told})
        own = Parameters.model_validate({**dict(parameters), "messages": given.messages, "continues_chat": True})
    _check(whole, body.model, limits)
    return own if body.is_stored else whole


def _told(earlier: Earlier, given: GivenInput) -> list[GivenMessage]:
    """What the model is told: what was said before, and the input. Raises as `_with_context`."""
    if not earlier.is_too_long:
        insist_on_calls(given, made_calls(earlier.path))
    told = tell_all(earlier, given.messages)
    if told is None:
        raise InvalidInput("input: with what came before, it is too long", field="input")
    if has_too_many_calls(told):
        raise InvalidInput(f"input: must have at most {MAX_CALLS} calls at once", field="input")
    if (waiting := unanswered(told)) is not None:
        why = f"no output was found for the function call {waiting}; send a function_call_output"
        raise InvalidInput(f"input: {why}", field="input")
    return told


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


async def _find_place(
    database: Database, user_id: UserId, body: NewResponse, given: GivenInput, limits: Limits
) -> tuple[_Place, GivenInput]:
    """Where the message goes, with the turns before it where the request has to tell them; and all of its input.

    The worker tells a chat's texts by itself, with its memory. It does not tell what is no text of the user's or the
    assistant's: then, and where nothing is kept, the model is told the items.
    """
    previous, chat_id, waiting = None, None, list[WaitingItem]()
    async with database.connect() as db:
        if body.previous_response_id is not None:
            previous = await queries.find_response(db, user_id, generation_of(body.previous_response_id))
            if previous.is_hidden:
                raise ResponseNotFound
            chat_id = previous.chat_id
        elif body.conversation_id is not None:
            chat_id = (await queries.find_conversation(db, user_id, chat_of(body.conversation_id))).id
            waiting = await item_queries.list_waiting(db, chat_id)
        found = await _find_referred(db, user_id, given)
        is_plain = given.is_plain and body.is_stored and not waiting
        if chat_id is None:
            place = _Place(earlier=None if is_plain else Earlier())
        elif is_plain and not await queries.has_rich_input(db, chat_id):
            place = _Place(chat_id, previous)
        else:
            place = _Place(chat_id, previous, await queries.load_path(db, chat_id, previous), waiting)
    if found:
        given = _with_referred(given, found, place)
        _insist_on_words(given, limits)
    return place, with_added([one.item for one in waiting], given)


async def _find_referred(db: Connection, user_id: UserId, given: GivenInput) -> dict[str, FoundItem]:
    """The items that an input refers to.

    Raises:
        ItemNotFound: one is absent, or another user's; the error names its place.
        InvalidInput: they are too many or too long, or one is named twice.

    """
    if not given.references:
        return {}
    if len(given.references) > MAX_REFERENCES:
        raise InvalidInput(f"input: may refer to at most {MAX_REFERENCES} items", field="input")
    wanted = set[str]()
    for number, item_id in given.references.items():
        if item_id in wanted:
            raise InvalidInput(f"input[{number}].id: names an item that is named before", field=f"input[{number}].id")
        wanted.add(item_id)
    found, chars = await item_queries.find_items(db, user_id, wanted), 0
    for number, item_id in given.references.items():
        if item_id not in found:
            raise ItemNotFound(f"input[{number}].id")
        chars += len(json.dumps(found[item_id].item, ensure_ascii=False))
        if chars > MAX_TEXT_CHARS:
            raise item_queries.refer_to_too_much()
    return found


def _with_referred(given: GivenInput, found: Mapping[str, FoundItem], place: _Place) -> GivenInput:
    """The input with the items that it refers to in the places of the references.

    Raises:
        InvalidInput: the model is told one of them anyway, or the input with them can't be used.

    """
    items = list(given.all_items)
    told = {message.position for message in place.earlier.path} if place.earlier else set[int]()
    for number, item_id in given.references.items():
        item, chat_id, position = found[item_id]
        if chat_id == place.chat_id and (position in told or (position is None and place.waiting)):
            field = f"input[{number}].id"
            raise InvalidInput(f"{field}: names an item that is told anyway, since it stands before", field=field)
        items[number] = item
    with _refusing():
        return read_input(items)
