"""Chats in the database. Ownership is in the WHERE clause: what belongs to another user is not found."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Text, cast, delete, insert, literal, select, tuple_

from services.api import message_pages
from services.api.generations.queries import REPLY_IS_FINAL
from services.api.versions.queries import Place, find_places, lock_chat
from shared.chats.renaming import rename
from shared.database.engine import Connection
from shared.database.ownership import owned_by
from shared.database.tables import Chat, Generation, Message, User
from shared.errors import ChatNotFound, TokenInvalid
from shared.generations.cancel import DeletedGenerations, delete_generations
from shared.generations.outcome import Outcome
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.operations.decisions import refuse_before_deletion
from shared.operations.moves import Moved
from shared.protocol.frames import ErrorData
from shared.protocol.message_parts import MessagePart, whole_parts
from shared.states import TERMINAL


class ChatRow(NamedTuple):
    """A chat. `last_message_at` is when its last message was accepted, or when the chat was made.

    A `temporary` chat is deleted a while after that.
    """

    id: ChatId
    title: str | None
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime
    temporary: bool


class ReplyGeneration(NamedTuple):
    """The generation of a reply: how far it is, and how it ended. `is_final`: the reply changes no more."""

    id: GenerationId
    status: str
    is_final: bool
    finish_reason: str | None
    error: ErrorData | None


class MessageRow(NamedTuple):
    """A message. `parts`, `sources` and `usage` are None where there are none, `generation` for a user's message.

    `parts` are as a client has them that has read the answer's stream to its end, once there is an end. See Place for
    `parent_id` and `versions`.
    """

    id: MessageId
    role: str
    content: str
    position: int
    status: str
    parts: list[MessagePart] | None
    sources: list[dict[str, Any]] | None
    usage: dict[str, Any] | None
    created_at: datetime
    replaced: bool
    generation: ReplyGeneration | None = None
    parent_id: MessageId | None = None
    versions: tuple[MessageId, ...] = ()


class MessagePage(NamedTuple):
    """Some of a chat's messages, by position. `goes_on`: there are more beyond them, in the direction of the page."""

    messages: list[MessageRow]
    goes_on: bool


_CHAT = (
    Chat.id,
    Chat.title,
    Chat.created_at,
    Chat.updated_at,
    Chat.last_message_at,
    Chat.is_temporary.label("temporary"),
)
_MESSAGE = tuple(
    getattr(Message, name) for name in MessageRow._fields if name != "generation" and name not in Place._fields
)
_GENERATION = (
    Generation.id,
    Generation.status,
    Generation.finish_reason,
    Generation.error_code,
    Generation.error_message,
    REPLY_IS_FINAL,
)


def _owned(chat_id: ChatId, user_id: UserId) -> ColumnElement[bool]:
    return (Chat.id == chat_id) & owned_by(user_id)


async def list_chats(
    db: Connection, user_id: UserId, *, before: tuple[datetime, int] | None, limit: int, temporary: bool = False
) -> list[ChatRow]:
    """The user's chats, newest activity first, past the chat whose (last_message_at, id) is `before`.

    Either the temporary ones or the others.
    """
    statement = (
        select(*_CHAT)
        .where(owned_by(user_id), Chat.is_temporary == temporary)
        .order_by(Chat.last_message_at.desc(), Chat.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(tuple_(Chat.last_message_at, Chat.id) < before)
    return [ChatRow._make(row) for row in await db.execute(statement)]


async def add_chat(db: Connection, user_id: UserId, title: str | None, *, temporary: bool = False) -> ChatRow:
    """Make a chat.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.

    """
    titled = (cast(title, Text), cast("user" if title else None, Text))
    owner = select(User.id, *titled, literal(temporary)).where(User.id == user_id)
    columns = ["user_id", "title", "title_by", "is_temporary"]
    statement = insert(Chat).from_select(columns, owner).returning(*_CHAT)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise TokenInvalid
    return ChatRow._make(row)


async def find_chat(db: Connection, user_id: UserId, chat_id: ChatId) -> ChatRow:
    """One chat.

    Raises:
        ChatNotFound: absent, or another user's.

    """
    row = (await db.execute(select(*_CHAT).where(_owned(chat_id, user_id)))).one_or_none()
    if row is None:
        raise ChatNotFound
    return ChatRow._make(row)


async def list_messages(
    db: Connection,
    user_id: UserId,
    chat_id: ChatId,
    place: message_pages.Place = message_pages.NEWEST,
    limit: int = message_pages.MAX_MESSAGES,
    *,
    with_replaced: bool = False,
) -> MessagePage:
    """A page of the chat's messages, by position: those of the active path, or the replaced ones too."""
    page = message_pages.page_of(user_id, chat_id, place, limit, with_replaced=with_replaced).subquery()
    statement = (
        select(page.c.candidates, *_MESSAGE, *_GENERATION)
        .join(page, page.c.id == Message.id)
        .outerjoin(Generation, Generation.assistant_message_id == Message.id)
        .order_by(Message.position)
    )
    found = (await db.execute(statement)).all()
    rows = [_message(tuple(row)[1:]) for row in found]
    places = await find_places(db, chat_id, [(row.id, row.position) for row in rows])
    placed = [row._replace(**places[row.id]._asdict()) if row.id in places else row for row in rows]
    return MessagePage(placed, goes_on=bool(found) and found[0].candidates > len(found))


def _message(row: tuple[Any, ...]) -> MessageRow:
    """A row of `list_messages`, without its place."""
    message, (generation_id, *ended) = row[: len(_MESSAGE)], row[len(_MESSAGE) :]
    if generation_id is None:
        return MessageRow(*message)
    status, finish_reason, code, text, is_final = ended
    outcome = Outcome.from_row(status, finish_reason, code, text, None)
    generation = ReplyGeneration(generation_id, status, is_final, finish_reason, outcome.error)
    made = MessageRow(*message)._replace(generation=generation)
    return made._replace(parts=_shown_parts(made, outcome))


def _shown_parts(reply: MessageRow, outcome: Outcome) -> list[MessagePart] | None:
    """The parts of a reply as its stream tells them."""
    if outcome.status not in TERMINAL or (reply.parts is None and outcome.error is None):
        return reply.parts
    return whole_parts(reply.content, reply.parts, outcome.error)


async def rename_chat(db: Connection, user_id: UserId, chat_id: ChatId, title: str) -> ChatRow:
    """Give a chat a title.

    Raises:
        ChatNotFound: absent, or another user's.

    """
    row = (await db.execute(rename(user_id, chat_id, title).returning(*_CHAT))).one_or_none()
    if row is None:
        raise ChatNotFound
    return ChatRow._make(row)


async def delete_chat(db: Connection, user_id: UserId, chat_id: ChatId) -> tuple[DeletedGenerations, list[Moved]]:
    """Delete a chat with everything that belongs to it, and refuse what it has proposed. Needs a transaction.

    Returns its generations, and the operations that are refused.

    Raises:
        ChatNotFound: absent, or another user's.
        TokenInvalid: the account is gone.

    """
    # The lock comes first: a message accepted at the same moment is either found here, or refused.
    await lock_chat(db, user_id, chat_id)
    refused = await refuse_before_deletion(db, user_id, Generation.chat_id == chat_id)
    deleted = await delete_generations(db, Generation.chat_id == chat_id)
    await db.execute(delete(Chat).where(Chat.id == chat_id))
    return deleted, refused
