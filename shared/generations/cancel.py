"""Generations that a request ends, whatever they are doing."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Row, delete, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from shared.database.engine import Connection
from shared.database.ownership import IS_HIDDEN
from shared.database.tables import Generation, Message
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.protocol import frames
from shared.protocol.frames import Start
from shared.states import OPEN, GenerationStatus, MessageStatus


class OpenGeneration(NamedTuple):
    """A generation whose log may still be open: its last attempt, and its reply as it was last saved.

    What a worker has written beyond that is in the log, and saved when the log is closed (close_log.py). `is_hidden` is its
    chat's.
    """

    id: GenerationId
    attempt: int
    message_id: MessageId
    content: str
    user_message_id: MessageId
    user_id: UserId
    chat_id: ChatId
    is_hidden: bool = False

    def opening(self) -> Start:
        """The first frame of an attempt at the generation."""
        return frames.start(self.message_id, self.id, user_message_id=self.user_message_id, chat_id=self.chat_id)


class DeletedGenerations(NamedTuple):
    """Generations whose rows are gone: those whose logs were open, and the ids of those whose logs were closed."""

    unclosed: list[OpenGeneration]
    closed: list[GenerationId]


async def _lock_unclosed(db: Connection, *which: ColumnElement[bool]) -> list[OpenGeneration]:
    """Generations whose logs are open, locked: no worker begins another attempt before they are deleted.

    A worker that has saved its reply may be about to close the log.
    """
    statement = (
        select(
            Generation.id,
            Generation.attempt,
            Message.id,
            Message.content,
            Generation.user_message_id,
            Generation.user_id,
            Generation.chat_id,
            IS_HIDDEN,
        )
        .join(Message, Message.id == Generation.assistant_message_id)
        .where(or_(Generation.status.in_(OPEN), Generation.closed_at.is_(None)), *which)
        .order_by(Generation.id)
        .with_for_update(of=Generation)
    )
    return [_open_generation(row) for row in await db.execute(statement)]


async def delete_generations(db: Connection, *which: ColumnElement[bool]) -> DeletedGenerations:
    """Delete generations before their messages or their chat is deleted. Needs a transaction.

    A deletion that cascades would lock the messages first, and then the generations; whoever finishes a generation locks it
    first, and then its message. Each would wait for the other.
    """
    unclosed = await _lock_unclosed(db, *which)
    deleted = (await db.execute(delete(Generation).where(*which).returning(Generation.id))).scalars()
    closed = set(deleted) - {one.id for one in unclosed}
    return DeletedGenerations(unclosed, [GenerationId(each) for each in closed])


async def cancel(db: Connection, *which: ColumnElement[bool]) -> list[OpenGeneration]:
    """End open generations on request, whatever they are doing. Returns those that it ended."""
    ended = (
        update(Generation)
        .where(Generation.status.in_(OPEN), *which)
        .values(status=GenerationStatus.CANCELLED, lease_expires_at=None, finished_at=func.now())
        .returning(
            Generation.id,
            Generation.attempt,
            Generation.assistant_message_id,
            Generation.user_message_id,
            Generation.user_id,
            Generation.chat_id,
            IS_HIDDEN.label("is_hidden"),
        )
        .cte("ended")
    )
    reply = (
        update(Message)
        .where(Message.id == ended.c.assistant_message_id)
        .values(status=MessageStatus.CANCELLED)
        .returning(Message.id, Message.content)
        .cte("reply")
    )
    statement = select(
        ended.c.id,
        ended.c.attempt,
        reply.c.id,
        reply.c.content,
        ended.c.user_message_id,
        ended.c.user_id,
        ended.c.chat_id,
        ended.c.is_hidden,
    ).join(reply, reply.c.id == ended.c.assistant_message_id)
    return [_open_generation(row) for row in await db.execute(statement)]


def _open_generation(row: Row[UUID, int, int, str, int, int, int, bool]) -> OpenGeneration:
    generation_id, attempt, message_id, content, user_message_id, user_id, chat_id, is_hidden = row
    return OpenGeneration(
        GenerationId(generation_id),
        attempt,
        MessageId(message_id),
        content,
        MessageId(user_message_id),
        UserId(user_id),
        ChatId(chat_id),
        is_hidden,
    )
