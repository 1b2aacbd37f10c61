"""A chat's memory in the database."""

from typing import Any

from sqlalchemy import Row, case, func, select, update

from shared.database.engine import Connection
from shared.database.tables import Chat
from shared.errors import ChatNotFound, MemoryChanged
from shared.ids import ChatId, UserId
from shared.memory import summaries

_MEMORY = (
    Chat.summary,
    Chat.facts,
    Chat.summary_position.label("watermark"),
    (Chat.last_position - Chat.summary_position).label("pending"),
    Chat.memory_version.label("version"),
)


async def find_memory(db: Connection, user_id: UserId, chat_id: ChatId) -> Row[Any]:
    """(summary, facts, watermark, pending, version).

    Raises:
        ChatNotFound: absent, or another's.

    """
    row = (await db.execute(select(*_MEMORY).where(Chat.id == chat_id, Chat.user_id == user_id))).one_or_none()
    if row is None:
        raise ChatNotFound
    return row


async def change_memory(
    db: Connection, user_id: UserId, chat_id: ChatId, values: dict[str, Any], version: int | None
) -> Row[Any]:
    """Correct it. Whoever folds at this moment is refused by the new version, and begins again with what is corrected.

    Raises:
        ChatNotFound: absent, or another's.
        MemoryChanged: its version is another.

    """
    statement = (
        update(Chat)
        .where(Chat.id == chat_id, Chat.user_id == user_id)
        .values(
            **values,
            memory_version=Chat.memory_version + 1,
            summary_due_at=case((Chat.summary_due_at.is_not(None), func.now()), else_=None),
        )
        .returning(*_MEMORY)
    )
    if version is not None:
        statement = statement.where(Chat.memory_version == version)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        await find_memory(db, user_id, chat_id)
        raise MemoryChanged
    return row


async def restart_memory(db: Connection, user_id: UserId, chat_id: ChatId, window: int) -> None:
    """Have it made anew from the messages. Pinned facts stay.

    Raises:
        ChatNotFound: absent, or another's.

    """
    statement = summaries.restart(chat_id, window, Chat.user_id == user_id)
    if (await db.execute(statement)).one_or_none() is None:
        raise ChatNotFound
