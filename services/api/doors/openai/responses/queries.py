"""Responses and conversations in the database. Ownership is in the WHERE clause: what belongs to another user is not found."""

from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Text,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import aliased

from services.api.doors.openai.responses.objects import ConversationRow, ResponseRow, ended_output, input_items
from services.api.doors.openai.responses.output_items import Json
from services.api.message_pages import MAX_MESSAGES, SIZE, Place, page_of
from services.api.versions.queries import DeletedTurn, delete_turn, lock_chat, read_tree
from shared.database.engine import Connection
from shared.database.ownership import CHAT_IS_THERE, owned_by
from shared.database.tables import Chat, ConversationItem, Generation, Message, User
from shared.errors import ChatNotFound, ConversationNotFound, MessageNotFound, ResponseNotFound, TokenInvalid
from shared.generations.cancel import DeletedGenerations, delete_generations
from shared.generations.outcome import Outcome
from shared.generations.path_rows import IS_CALL, load_earlier
from shared.generations.told_path import Earlier
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.operations.decisions import refuse_before_deletion
from shared.operations.moves import Moved
from shared.protocol.message_parts import MessagePart
from shared.states import TERMINAL, MessageStatus

_Question: Final = aliased(Message)
_COLUMNS: Final = (
    Generation.id,
    Generation.chat_id,
    Generation.user_message_id,
    Generation.assistant_message_id,
    Generation.status,
    Generation.model,
    Generation.usage,
    Generation.finish_reason,
    Generation.error_code,
    Generation.error_message,
    Generation.created_at,
    Generation.finished_at,
    Generation.response,
    _Question.content,
    Message.content,
    Message.parts,
    Chat.is_hidden,
)


_CONVERSATION: Final = (Chat.id, Chat.created_at, Chat.client_metadata)


def _responses(*which: ColumnElement[bool]) -> Select[Any]:
    return (
        select(*_COLUMNS)
        .join(Message, Message.id == Generation.assistant_message_id)
        .join(_Question, _Question.id == Generation.user_message_id)
        .join(Chat, Chat.id == Generation.chat_id)
        .where(*which)
    )


async def find_response(db: Connection, user_id: UserId, generation_id: GenerationId | None) -> ResponseRow:
    """One response.

    Raises:
        ResponseNotFound: absent, another user's, or a chat completion.

    """
    if generation_id is None:
        raise ResponseNotFound
    mine = (Generation.id == generation_id, Generation.user_id == user_id, CHAT_IS_THERE)
    was_asked_for = or_(~Chat.is_hidden, Generation.response.is_not(None))  # a chat completion was not
    row = (await db.execute(_responses(*mine, was_asked_for))).one_or_none()
    if row is None:
        raise ResponseNotFound
    return ResponseRow._make(row)


async def find_conversation(db: Connection, user_id: UserId, chat_id: ChatId | None) -> ConversationRow:
    """One conversation.

    Raises:
        ConversationNotFound: absent, or another user's.

    """
    if chat_id is None:
        raise ConversationNotFound
    row = (await db.execute(select(*_CONVERSATION).where(Chat.id == chat_id, owned_by(user_id)))).one_or_none()
    if row is None:
        raise ConversationNotFound
    return ConversationRow._make(row)


async def have_rows(db: Connection, chat_ids: Collection[ChatId]) -> bool:
    """Whether one of these chats, which are known to be the user's, has rows of a user's database."""
    found = select(Chat.id).where(Chat.id.in_(chat_ids), Chat.has_rows).limit(1)
    return (await db.execute(found)).one_or_none() is not None


async def add_conversation(db: Connection, user_id: UserId, metadata: Json | None) -> ConversationRow:
    """Make a chat.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.

    """
    made_of = select(User.id, literal(metadata, Chat.client_metadata.type)).where(User.id == user_id)
    made = insert(Chat).from_select(["user_id", "client_metadata"], made_of).returning(*_CONVERSATION)
    row = (await db.execute(made)).one_or_none()
    if row is None:
        raise TokenInvalid
    return ConversationRow._make(row)


async def delete_unused(db: Connection, user_id: UserId, chat_id: ChatId) -> bool:
    """Delete a chat in which nothing was ever said, or nothing is left, and nothing waits. Returns whether that was so."""
    has_messages = select(Message.id).where(Message.chat_id == Chat.id).exists()
    has_items = select(ConversationItem.id).where(ConversationItem.chat_id == Chat.id).exists()
    unused = delete(Chat).where(Chat.id == chat_id, owned_by(user_id), ~has_messages, ~has_items)
    return (await db.execute(unused.returning(Chat.id))).one_or_none() is not None


async def change_conversation(
    db: Connection, user_id: UserId, chat_id: ChatId | None, metadata: Json
) -> ConversationRow:
    """Give a conversation other metadata.

    Raises:
        ConversationNotFound: absent, or another user's.

    """
    if chat_id is None:
        raise ConversationNotFound
    changed = update(Chat).where(Chat.id == chat_id, owned_by(user_id)).values(client_metadata=metadata)
    row = (await db.execute(changed.returning(*_CONVERSATION))).one_or_none()
    if row is None:
        raise ConversationNotFound
    return ConversationRow._make(row)


class ConversationMessage(NamedTuple):
    """A message of a conversation's active path, with what its items are made of.

    `response` is that of the request, of a user's message (`Generation.response`); None where its content has all of it.
    """

    id: MessageId
    role: str
    position: int
    content: str
    parts: list[MessagePart] | None
    status: str | None
    finish_reason: str | None
    error_code: str | None
    error_message: str | None
    response: dict[str, Any] | None

    @property
    def items(self) -> list[Json]:
        """The message's items. A reply has none before its answer is over."""
        if self.role == "user":
            return input_items(self.id, self.response, self.content)
        if self.status not in TERMINAL:
            return []
        outcome = Outcome.from_row(self.status, self.finish_reason, self.error_code, self.error_message, None)
        return ended_output(self.id, self.content, self.parts, outcome)


def _of_request(wanted: Callable[[Any], ColumnElement[Any]]) -> ColumnElement[Any]:
    """Of the newest request that a user's message stands for, what is `wanted` of its response; NULL where it has no items."""
    asking = aliased(Generation)
    return (
        select(wanted(asking.response))
        .where(asking.user_message_id == Message.id, asking.response.has_key("input"))
        .order_by(asking.created_at.desc())
        .limit(1)
        .correlate(Message)
        .scalar_subquery()
    )


ITEMS_SIZE: Final = SIZE + func.coalesce(
    _of_request(lambda response: func.octet_length(cast(response["input"], Text))), 0
)
"""The bytes of a message with the items of its request."""


async def list_conversation(
    db: Connection, user_id: UserId, chat_id: ChatId, place: Place, limit: int
) -> tuple[list[ConversationMessage], bool]:
    """A page of the messages of a conversation's active path, by position; and whether there are more in the page's direction.

    It has at most `limit` messages, and with their items no more bytes than a page of messages, but one message at least.
    """
    page = page_of(user_id, chat_id, place, min(limit, MAX_MESSAGES), size=ITEMS_SIZE).subquery()
    statement = _messages().add_columns(page.c.candidates).join(page, page.c.id == Message.id)
    found = (await db.execute(statement)).all()
    goes_on = bool(found) and found[0].candidates > len(found)
    return [ConversationMessage._make(tuple(row)[1:-1]) for row in found], goes_on


async def messages_by(db: Connection, *which: ColumnElement[bool]) -> list[tuple[ChatId, ConversationMessage]]:
    """Messages with their chats, by conditions on Message and Chat."""
    statement = _messages().join(Chat, Chat.id == Message.chat_id).where(*which)
    return [(ChatId(row[0]), ConversationMessage._make(tuple(row)[1:])) for row in await db.execute(statement)]


def _messages() -> Select[*tuple[Any, ...]]:
    """The chats of messages and what a ConversationMessage has, by position."""
    asked = _of_request(lambda response: response.op("-")("asked"))
    return (
        select(
            Message.chat_id,
            Message.id,
            Message.role,
            Message.position,
            Message.content,
            Message.parts,
            Generation.status,
            Generation.finish_reason,
            Generation.error_code,
            Generation.error_message,
            case((Message.role == "user", asked)),
        )
        .outerjoin(Generation, Generation.assistant_message_id == Message.id)
        .order_by(Message.position)
    )


async def load_path(db: Connection, chat_id: ChatId, previous: ResponseRow | None) -> Earlier:
    """What was said from a chat's beginning to a response, or along the active path. The chat is known to be the user's."""
    return await load_earlier(db, chat_id, await _is_on_path(db, chat_id, previous))


async def _is_on_path(db: Connection, chat_id: ChatId, previous: ResponseRow | None) -> ColumnElement[bool]:
    if previous is None:
        return ~Message.replaced
    tree = await read_tree(db, chat_id)
    node = tree.find(previous.assistant_message_id)
    positions = tree.path_to(node.position) if node else []
    return Message.position == func.any(bindparam(None, positions, type_=ARRAY(BigInteger), unique=True))


class SaidSoFar(NamedTuple):
    """What the requests of a chat brought along, and how its answers ended.

    `is_rich`: a request brought more than a text of the user's. `has_calls`: an answer may have ended with calls that its client
    was to make.
    """

    is_rich: bool
    has_calls: bool


async def find_said(db: Connection, chat_id: ChatId) -> SaidSoFar:
    """What was said in a chat, which is known to be the user's."""
    which = (Generation.response.has_key("input"), Generation.finish_reason == "tool-calls")
    any_of = (func.coalesce(func.bool_or(one), literal(value=False)) for one in which)
    return SaidSoFar._make((await db.execute(select(*any_of).where(Generation.chat_id == chat_id))).one())


async def find_call(db: Connection, chat_id: ChatId, previous: ResponseRow | None) -> str | None:
    """The first call that a client was to make, of the whole answers on a path as that of `load_path`; None where none is."""
    call = func.jsonb_path_query_first(Message.parts, IS_CALL, type_=JSONB)["toolCallId"].astext
    is_whole = (Message.role == "assistant", Message.status == MessageStatus.COMPLETED)
    statement = (
        select(call)
        .where(Message.chat_id == chat_id, *is_whole, await _is_on_path(db, chat_id, previous), call.is_not(None))
        .order_by(Message.position)
        .limit(1)
    )
    found: str | None = (await db.execute(statement)).scalar_one_or_none()
    return found


class Deleted(NamedTuple):
    """Generations that were deleted, and the operations that they had proposed, which are refused."""

    generations: DeletedGenerations
    refused: list[Moved]


async def delete_turn_of(
    db: Connection, user_id: UserId, row: ResponseRow, kept: int
) -> tuple[Deleted, DeletedTurn | None]:
    """Delete a response with its input, and its chat where nothing else is in there. Needs a transaction.

    Returns what is gone, and what the deletion changed in the chat; None where the chat is gone too.

    Raises:
        ResponseNotFound: it was deleted a moment ago.
        TokenInvalid: the account is gone.
        TurnNotLast: other turns follow.

    """
    try:
        if row.is_hidden:
            return await _delete_chat(db, user_id, row.chat_id), None
        deleted = await delete_turn(db, user_id, row.chat_id, row.assistant_message_id, kept)
    except (ChatNotFound, MessageNotFound) as error:
        raise ResponseNotFound from error
    is_gone = await delete_unused(db, user_id, row.chat_id)
    return Deleted(deleted.generations, deleted.refused), None if is_gone else deleted


async def delete_conversation(db: Connection, user_id: UserId, chat_id: ChatId | None) -> Deleted:
    """Delete a conversation with all that belongs to it. Needs a transaction.

    Raises:
        ConversationNotFound: absent, or another user's.
        TokenInvalid: the account is gone.

    """
    if chat_id is None:
        raise ConversationNotFound
    try:
        return await _delete_chat(db, user_id, chat_id)
    except ChatNotFound as error:
        raise ConversationNotFound from error


async def _delete_chat(db: Connection, user_id: UserId, chat_id: ChatId) -> Deleted:
    await lock_chat(db, user_id, chat_id)
    refused = await refuse_before_deletion(db, user_id, Generation.chat_id == chat_id)
    generations = await delete_generations(db, Generation.chat_id == chat_id)
    await db.execute(delete(Chat).where(Chat.id == chat_id))
    return Deleted(generations, refused)
