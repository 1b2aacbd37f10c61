"""Chats and messages by the names that clients gave them. Ownership is in the WHERE clause."""

import re
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import ColumnElement, and_, delete, literal, or_, select
from sqlalchemy.dialects.postgresql import insert

from services.api.doors.ai_sdk.ui_messages import MakingOfReply, ViewedMessage
from services.api.generations.queries import REPLY_IS_FINAL
from services.api.message_pages import Place, page_of
from shared.database.engine import Connection
from shared.database.ownership import owned_by
from shared.database.tables import Chat, Generation, Message, User
from shared.errors import TokenInvalid
from shared.generations.outcome import Outcome
from shared.ids import MAX_BIGINT, ChatId, GenerationId, MessageId, UserId
from shared.states import OPEN


class FoundMessage(NamedTuple):
    """A user's message that has been accepted, and its newest reply with the generation that makes it.

    `is_open`: that generation is not over.
    """

    id: MessageId
    content: str
    reply_id: MessageId
    generation_id: GenerationId
    is_open: bool


_MESSAGE: Final = (Message.id, Message.client_id, Message.role, Message.content, Message.parts, Message.created_at)
_GENERATION: Final = (
    Generation.id,
    REPLY_IS_FINAL,
    Generation.status,
    Generation.finish_reason,
    Generation.error_code,
    Generation.error_message,
    Generation.usage,
)

_ID: Final = re.compile(r"[1-9]\d{0,18}", re.ASCII)


def _named(column: Any, client_column: Any, name: str) -> ColumnElement[bool]:  # noqa: ANN401 - SQLAlchemy's types
    """The row that a client has given this name, or whose id this is."""
    by_name = cast("ColumnElement[bool]", client_column == name)
    own_id = _id_of(name)
    return by_name if own_id is None else or_(by_name, column == own_id)


def _id_of(name: str) -> int | None:
    """The id of ours that a name is, as the views spell ids; None for any other name."""
    return int(name) if _ID.fullmatch(name) and int(name) <= MAX_BIGINT else None


async def find_chat(db: Connection, user_id: UserId, name: str) -> ChatId | None:
    """The user's chat that a client calls by this name, else the one with this decimal id; None where there is neither."""
    statement = (
        select(Chat.id)
        .where(owned_by(user_id), _named(Chat.id, Chat.client_id, name))
        .order_by((Chat.client_id == name).desc().nulls_last())
        .limit(1)
    )
    found = (await db.execute(statement)).scalar_one_or_none()
    return None if found is None else ChatId(found)


async def add_chat(db: Connection, user_id: UserId, name: str) -> tuple[ChatId, datetime] | None:
    """Make a chat of this name. Returns its id, and when it was made; None where the user has one of the name.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.

    """
    owner = select(User.id, literal(name)).where(User.id == user_id)
    statement = (
        insert(Chat)
        .from_select(["user_id", "client_id"], owner)
        .on_conflict_do_nothing(index_elements=[Chat.user_id, Chat.client_id], index_where=Chat.client_id.is_not(None))
        .returning(Chat.id, Chat.created_at)
    )
    made = (await db.execute(statement)).one_or_none()
    if made is not None:
        return ChatId(made.id), made.created_at
    if (await db.execute(select(User.id).where(User.id == user_id))).one_or_none() is None:
        raise TokenInvalid
    return None


async def delete_unused_chat(db: Connection, user_id: UserId, chat_id: ChatId) -> bool:
    """Delete a chat in which nothing was ever said. Returns whether that was so."""
    unused = delete(Chat).where(Chat.id == chat_id, owned_by(user_id), Chat.last_position == 0)
    return (await db.execute(unused.returning(Chat.id))).one_or_none() is not None


async def find_message(db: Connection, user_id: UserId, chat_id: ChatId, name: str) -> FoundMessage | None:
    """The message of the user's that a client calls by this name.

    A message that no client has named is called by its own id, as long as it is shown. The id of any other message is no
    name, since clients that count their messages would mean others by it.
    """
    own_id = _id_of(name)
    unnamed = and_(Message.id == own_id, Message.client_id.is_(None), ~Message.replaced)
    by_name = Message.client_id == name
    return await _find_message(db, user_id, chat_id, by_name if own_id is None else or_(by_name, unnamed), name)


async def find_target(db: Connection, user_id: UserId, chat_id: ChatId, name: str) -> FoundMessage | None:
    """The message of the user's that a client calls by this name, or that has this id, or a reply of this id."""
    own_id = _id_of(name)
    asked = select(Generation.user_message_id).where(
        Generation.assistant_message_id == own_id, Generation.chat_id == chat_id
    )
    by_id = or_(Message.id == own_id, Message.id.in_(asked))
    by_name = Message.client_id == name
    return await _find_message(db, user_id, chat_id, by_name if own_id is None else or_(by_name, by_id), name)


async def _find_message(
    db: Connection, user_id: UserId, chat_id: ChatId, which: ColumnElement[bool], name: str
) -> FoundMessage | None:
    statement = (
        select(
            Message.id,
            Message.content,
            Generation.assistant_message_id,
            Generation.id,
            Generation.status.in_(OPEN),
        )
        .join(Generation, Generation.user_message_id == Message.id)
        .where(Generation.chat_id == chat_id, Generation.user_id == user_id, which)
        .order_by((Message.client_id == name).desc().nulls_last(), Generation.created_at.desc())
        .limit(1)
    )
    row = (await db.execute(statement)).one_or_none()
    return FoundMessage._make(row) if row else None


async def list_messages(
    db: Connection, user_id: UserId, chat_id: ChatId, before: int | None
) -> tuple[list[ViewedMessage], int | None]:
    """The chat's last messages before a position, by position, and the position of the first of them where there are older.

    No messages where the chat is absent, or another user's.
    """
    page = page_of(user_id, chat_id, Place(before=before)).subquery()
    statement = (
        select(page.c.candidates, Message.position, *_MESSAGE, *_GENERATION)
        .join(page, page.c.id == Message.id)
        .outerjoin(Generation, Generation.assistant_message_id == Message.id)
        .order_by(Message.position)
    )
    found = (await db.execute(statement)).all()
    goes_on = found and found[0].candidates > len(found)
    return [_viewed(tuple(row)[2:]) for row in found], found[0].position if goes_on else None


def _viewed(row: tuple[Any, ...]) -> ViewedMessage:
    message, (generation_id, is_final, *outcome) = row[: len(_MESSAGE)], row[len(_MESSAGE) :]
    making = MakingOfReply(generation_id, is_final, Outcome.from_row(*outcome)) if generation_id else None
    return ViewedMessage._make((*message, making))
