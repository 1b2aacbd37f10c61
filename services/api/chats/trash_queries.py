"""The trash in the database, as its user lists it."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, tuple_

from shared.database.engine import Connection
from shared.database.tables import Chat
from shared.ids import ChatId, UserId


class TrashedChat(NamedTuple):
    """A chat in the trash, since `deleted_at`."""

    id: ChatId
    title: str | None
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime
    temporary: bool
    deleted_at: datetime


_TRASHED = (
    Chat.id,
    Chat.title,
    Chat.created_at,
    Chat.updated_at,
    Chat.last_message_at,
    Chat.is_temporary,
    Chat.deleted_at,
)


async def list_trash(
    db: Connection, user_id: UserId, *, before: tuple[datetime, int] | None, limit: int
) -> list[TrashedChat]:
    """The user's chats in the trash, the last deleted first, past the chat whose (deleted_at, id) is `before`."""
    statement = (
        select(*_TRASHED)
        .where(Chat.user_id == user_id, Chat.deleted_at.is_not(None))
        .order_by(Chat.deleted_at.desc(), Chat.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(tuple_(Chat.deleted_at, Chat.id) < before)
    return [TrashedChat._make(row) for row in await db.execute(statement)]
