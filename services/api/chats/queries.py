"""Chats in the database. Ownership is part of every WHERE: what is not yours is not there."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Text, cast, delete, func, insert, select, tuple_, update

from shared.database.engine import Connection
from shared.database.tables import Chat, Generation, Message, User
from shared.errors import ChatNotFound, TokenInvalid
from shared.generations.cancel import OpenGeneration, find_open
from shared.ids import ChatId, UserId

ChatRow = Row[int, str | None, datetime, datetime, datetime]

_CHAT = (Chat.id, Chat.title, Chat.created_at, Chat.updated_at, Chat.last_message_at)
_MESSAGE = (
    Message.id,
    Message.role,
    Message.content,
    Message.position,
    Message.status,
    Message.parts,
    Message.sources,
    Message.usage,
    Message.created_at,
)


def _owned(chat_id: ChatId, user_id: UserId) -> ColumnElement[bool]:
    return (Chat.id == chat_id) & (Chat.user_id == user_id)


async def list_chats(
    db: Connection, user_id: UserId, *, before: tuple[datetime, int] | None, limit: int
) -> Sequence[ChatRow]:
    """The user's chats, newest activity first, past the (last_message_at, id) of the last one seen."""
    statement = (
        select(*_CHAT).where(Chat.user_id == user_id).order_by(Chat.last_message_at.desc(), Chat.id.desc()).limit(limit)
    )
    if before is not None:
        statement = statement.where(tuple_(Chat.last_message_at, Chat.id) < before)
    return (await db.execute(statement)).all()


async def add_chat(db: Connection, user_id: UserId, title: str | None) -> ChatRow:
    """Make a chat.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.

    """
    owner = select(User.id, cast(title, Text), cast("user" if title else None, Text)).where(User.id == user_id)
    statement = insert(Chat).from_select(["user_id", "title", "title_by"], owner).returning(*_CHAT)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise TokenInvalid
    return row


async def find_chat(db: Connection, user_id: UserId, chat_id: ChatId) -> ChatRow:
    """One chat.

    Raises:
        ChatNotFound: absent, or another's.

    """
    row = (await db.execute(select(*_CHAT).where(_owned(chat_id, user_id)))).one_or_none()
    if row is None:
        raise ChatNotFound
    return row


async def list_messages(
    db: Connection, user_id: UserId, chat_id: ChatId, *, after: int = 0, limit: int | None = None
) -> Sequence[Row[*tuple[Any, ...]]]:
    """The chat's messages by position, past a position; all of them without a limit."""
    statement = (
        select(*_MESSAGE)
        .join(Chat, Chat.id == Message.chat_id)
        .where(_owned(chat_id, user_id), Message.position > after)
        .order_by(Message.position)
        .limit(limit)
    )
    return (await db.execute(statement)).all()


async def rename_chat(db: Connection, user_id: UserId, chat_id: ChatId, title: str) -> ChatRow:
    """Give a chat a title.

    Raises:
        ChatNotFound: absent, or another's.

    """
    statement = (
        update(Chat)
        .where(_owned(chat_id, user_id))
        .values(title=title, title_by="user", updated_at=func.now())
        .returning(*_CHAT)
    )
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise ChatNotFound
    return row


async def delete_chat(db: Connection, user_id: UserId, chat_id: ChatId) -> Sequence[OpenGeneration]:
    """Delete a chat with all that belongs to it. Belongs in a transaction.

    Returns the generations that were open.

    Raises:
        ChatNotFound: absent, or another's.

    """
    # Locked first: a message that is accepted in this moment is either before, and found here, or refused.
    if (await db.execute(select(Chat.id).where(_owned(chat_id, user_id)).with_for_update())).one_or_none() is None:
        raise ChatNotFound
    open_ones = await find_open(db, Generation.chat_id == chat_id)
    await db.execute(delete(Chat).where(Chat.id == chat_id))
    return open_ones
