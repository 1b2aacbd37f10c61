"""A chat's memory in the database."""

from typing import Any, NamedTuple

from sqlalchemy import case, func, select, update

from shared.database.engine import Connection
from shared.database.tables import Chat
from shared.errors import ChatNotFound, MemoryChanged
from shared.ids import ChatId, UserId
from shared.memory import summaries


class MemoryRow(NamedTuple):
    """A chat's memory. `watermark` is the last position that it covers; `pending` messages come after the watermark."""

    summary: str | None
    facts: list[dict[str, Any]] | None
    watermark: int
    pending: int
    version: int


_MEMORY = (
    Chat.summary,
    Chat.facts,
    Chat.summary_position.label("watermark"),
    (Chat.last_position - Chat.summary_position).label("pending"),
    Chat.memory_version.label("version"),
)


async def find_memory(db: Connection, user_id: UserId, chat_id: ChatId) -> MemoryRow:
    """The memory of a chat.

    Raises:
        ChatNotFound: absent, or another user's.

    """
    row = (await db.execute(select(*_MEMORY).where(Chat.id == chat_id, Chat.user_id == user_id))).one_or_none()
    if row is None:
        raise ChatNotFound
    return MemoryRow._make(row)


async def change_memory(
    db: Connection, user_id: UserId, chat_id: ChatId, values: dict[str, Any], version: int | None
) -> MemoryRow:
    """Correct a chat's memory. The new version refuses a summary that is being made, which is then made again.

    `values` maps columns to their new values. With a `version`, the memory is only corrected when it has that version.

    Raises:
        ChatNotFound: absent, or another user's.
        MemoryChanged: the memory has another version.

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
    return MemoryRow._make(row)


async def restart_memory(db: Connection, user_id: UserId, chat_id: ChatId, window: int) -> None:
    """Forget a chat's memory and have it made again from the messages. Pinned facts stay. `window` is in messages.

    Raises:
        ChatNotFound: absent, or another user's.

    """
    statement = summaries.restart(chat_id, window, Chat.user_id == user_id)
    if (await db.execute(statement)).one_or_none() is None:
        raise ChatNotFound
