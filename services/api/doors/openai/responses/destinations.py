"""Where a request's message goes, what the model is told before it, and the items that its input refers to."""

import json
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from services.api.doors.openai.responses import item_queries, queries
from services.api.doors.openai.responses.ids import chat_of, generation_of
from services.api.doors.openai.responses.input_items import (
    GivenInput,
    insist_on_one_output,
    read_input,
    with_added,
    with_rows,
)
from services.api.doors.openai.responses.item_queries import FoundItem, WaitingItem
from services.api.doors.openai.responses.objects import ResponseRow
from services.api.doors.openai.responses.refusals import refusing
from services.api.doors.openai.responses.schemas import NewResponse
from services.api.limits import Limits
from shared.database.engine import Connection, Database
from shared.errors import ContentTooLong, ConversationNotFound, InvalidInput, ItemNotFound, ResponseNotFound
from shared.generations.parameters import MAX_TEXT_CHARS
from shared.generations.told_path import Earlier
from shared.ids import ChatId, UserId

MAX_REFERENCES: Final = 100
"""Of one input."""


class Destination(NamedTuple):
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


async def find_destination(
    database: Database, user_id: UserId, body: NewResponse, given: GivenInput, limits: Limits
) -> tuple[Destination, GivenInput]:
    """Where the message goes, with the turns before it where the request has to tell them; and all of its input.

    The worker tells a chat's texts by itself, with its memory. It does not tell what is no text of the user's or the
    assistant's: then, and where nothing is kept, the model is told the items.

    Raises:
        ResponseNotFound, ConversationNotFound, ItemNotFound: what the request refers to is absent, or another user's.
        InvalidInput: the items that the input refers to can't be used; or a call has no output, and the input brings none.

    """
    previous, chat_id, waiting = None, None, list[WaitingItem]()
    async with database.connect() as db:
        if body.previous_response_id is not None:
            previous = await _find_previous(db, user_id, body.previous_response_id)
            chat_id = previous.chat_id
        elif body.conversation_id is not None:
            chat_id = await find_conversation(db, user_id, body.conversation_id)
            waiting = await item_queries.list_waiting(db, chat_id)
        found = await _find_referred(db, user_id, given)
        # A chat remembers that it has rows. What comes from another chat has to bring that along.
        others = {one.chat_id for one in found.values()} | ({chat_id} if chat_id and not body.is_stored else set())
        has_rows = bool(others) and await queries.have_rows(db, others)
        is_plain = given.is_plain and body.is_stored and not waiting
        if chat_id is None:
            destination = Destination(earlier=None if is_plain else Earlier())
        elif is_plain and not (said := await queries.find_said(db, chat_id)).is_rich:
            # Nobody has brought any output yet. The worker would tell the text without the call that waits for one.
            if said.has_calls and (call_id := await queries.find_call(db, chat_id, previous)):
                raise lacks_output(call_id)
            destination = Destination(chat_id, previous)
        else:
            destination = Destination(chat_id, previous, await queries.load_path(db, chat_id, previous), waiting)
    if found:
        given = _with_referred(given, found, destination)
        insist_on_words(given, limits)
    given = with_added([one.item for one in waiting], given)
    return destination, with_rows(given) if has_rows else given


async def _find_previous(db: Connection, user_id: UserId, response_id: str) -> ResponseRow:
    """The response that the message goes behind.

    Raises:
        ResponseNotFound: absent, another user's, or in no conversation; the error names the parameter.

    """
    try:
        previous = await queries.find_response(db, user_id, generation_of(response_id))
    except ResponseNotFound:
        previous = None
    if previous is None or previous.is_hidden:
        raise ResponseNotFound("previous_response_id: names no response that is kept", field="previous_response_id")
    return previous


async def find_conversation(db: Connection, user_id: UserId, conversation_id: str) -> ChatId:
    """The conversation that a request names.

    Raises:
        ConversationNotFound: absent, or another user's; the error names the parameter.

    """
    try:
        return (await queries.find_conversation(db, user_id, chat_of(conversation_id))).id
    except ConversationNotFound:
        raise ConversationNotFound("conversation: names no conversation", field="conversation") from None


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
            raise ItemNotFound(f"input[{number}].id: names no item", field=f"input[{number}].id")
        chars += len(json.dumps(found[item_id].item, ensure_ascii=False))
        if chars > MAX_TEXT_CHARS:
            raise item_queries.refer_to_too_much()
    return found


def _with_referred(given: GivenInput, found: Mapping[str, FoundItem], destination: Destination) -> GivenInput:
    """The input with the items that it refers to in the places of the references.

    Raises:
        InvalidInput: the model is told one of them anyway, a call has two outputs with them, or the input can't be used.

    """
    items = list(given.all_items)
    told = {message.position for message in destination.earlier.path} if destination.earlier else set[int]()
    for number, item_id in given.references.items():
        item, chat_id, position = found[item_id]
        if chat_id == destination.chat_id and (position in told or (position is None and destination.waiting)):
            field = f"input[{number}].id"
            raise InvalidInput(f"{field}: names an item that is told anyway, since it stands before", field=field)
        items[number] = item
    with refusing():
        read = read_input(items)
    insist_on_one_output(items)
    return read


def lacks_output(call_id: str) -> InvalidInput:
    """The refusal of an input that does not bring the output of a call, where the model would be told the call."""
    why = f"no output was found for the function call {call_id}; send a function_call_output"
    return InvalidInput(f"input: {why}", field="input")


def insist_on_words(given: GivenInput, limits: Limits) -> None:
    """Refuse an input that says nothing, or too much at once."""
    if len(given.text) > limits.message_chars:
        raise ContentTooLong(limits.message_chars, "input")
    if not given.messages:
        raise InvalidInput("input: must have something that the model can be told", field="input")
