"""From a request for a response to a turn: where its message goes, and what the model is told besides."""

import asyncio
from typing import Final

from services.api.doors.openai.responses.destinations import (
    Destination,
    find_destination,
    insist_on_words,
    lacks_output,
)
from services.api.doors.openai.responses.input_items import (
    GivenInput,
    insist_on_calls,
    insist_on_one_output,
    read_input,
)
from services.api.doors.openai.responses.output_items import Json
from services.api.doors.openai.responses.refusals import refusing
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
    ConversationNotFound,
    InvalidInput,
    ParameterNotSupported,
)
from shared.generations.parameters import MAX_CALLS, GivenMessage, Parameters
from shared.generations.told_path import Earlier, has_too_many_calls, made_calls, tell_all, unanswered
from shared.ids import UserId
from shared.jobs.sender import JobSender
from shared.streams.redis import Streams
from shared.telemetry.metrics import Metrics

KIND: Final = "response"


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
    parameters = checked(body, limits)
    if not given.references:
        insist_on_words(given, limits)
    sent = _sent(body, given)
    if key is not None and (repeated := await _find_repeated(database, user_id, sent_key(key, sent, parameters))):
        return repeated
    if body.temperature is None:  # a response tells its temperature, so the model is asked with the one that is told
        body = body.model_copy(update={"temperature": limits.temperature})
        parameters = parameters.model_copy(update={"temperature": limits.temperature})
    destination, given = await find_destination(database, user_id, body, given, limits)
    parameters = await _with_context(parameters, destination, body, given, limits)
    # Other doors show the conversation too: there, results of calls stand for what the user says.
    content = given.text or given.results[: limits.message_chars]
    response: Json = {"asked": body.told()}
    if not (given.is_plain and body.is_stored):  # a hidden chat's message has no text
        response["input"] = given.all_items
    if destination.waiting and body.is_stored:
        response["added"] = [one.item["id"] for one in destination.waiting]
    if not body.is_stored:
        completion = Completion(user_id, KIND, parameters, body.model, key, response, sent)
        return await accept_completion(database, jobs, limits, completion)
    if destination.previous is not None:
        branch = Branch(
            user_id,
            destination.previous.chat_id,
            destination.previous.assistant_message_id,
            content,
            model=body.model,
            key=key,
            parameters=parameters,
            response=response,
            sent=sent,
        )
        return await accept_branch(database, streams, jobs, metrics, limits, branch)
    if destination.chat_id is None:
        opening = Opening(user_id, content, body.model, key, parameters, response, sent)
        return await accept_opening(database, streams.feed, jobs, limits, opening)
    turn = NewTurn(
        user_id,
        destination.chat_id,
        content,
        model=body.model,
        key=key,
        parameters=parameters,
        response=response,
        sent=sent,
        takes=tuple(one.number for one in destination.waiting),
        follows=destination.end,
    )
    return await accept(database, streams, jobs, metrics, limits, turn)


def checked(body: NewResponse, limits: Limits) -> Parameters:
    """What a request asks of the model besides its context.

    Raises:
        ParameterNotSupported, InvalidInput, ModelNotOffered: as `ask`, for what needs no look into the database.

    """
    with refusing():
        parameters = body.parameters(limits.own_tools)
    check_message("", body.model, limits)
    _check(parameters, body.model, limits)
    return parameters


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
    parameters: Parameters, destination: Destination, body: NewResponse, given: GivenInput, limits: Limits
) -> Parameters:
    """The parameters with the messages that the model is told, where it is told items.

    A stored response keeps its own input alone: its worker puts what came before in front of it (told_path.py). One that is not
    stored is in no conversation, so it keeps all that it is told for as long as it lives.

    Raises:
        InvalidInput: there is too much to tell, a result of a call that nobody made, or a call without its result.
        ParameterNotSupported: the model can't call tools, and what it is told has calls.

    """
    if destination.earlier is None:
        return parameters
    if destination.earlier.taken_back:  # to mask long texts takes a while
        told = await asyncio.to_thread(_told, destination.earlier, given)
    else:
        told = _told(destination.earlier, given)
    with refusing():
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
        raise lacks_output(waiting)
    return told


def read(body: NewResponse) -> GivenInput:
    """The input of a request, which asks for nothing that is not supported.

    Raises:
        InvalidInput: the input can't be used.
        ParameterNotSupported: something is asked for that is not supported.

    """
    body.insist_on_supported()
    with refusing():
        given = read_input(body.input)
    if not isinstance(body.input, str):
        insist_on_one_output(body.input)
    return given


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
