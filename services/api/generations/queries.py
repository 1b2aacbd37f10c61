"""Generations in the database. Ownership is in the WHERE clause: what belongs to another user is not found."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import func, literal, select, union_all

from shared.database.engine import Connection
from shared.database.tables import Chat, Generation, Message
from shared.errors import ChatNotFound, GenerationNotFound
from shared.generations.outcome import Outcome
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.protocol.message_parts import MessagePart
from shared.states import LIVE, GenerationStatus


class GenerationRow(NamedTuple):
    """A generation. Times are None until reached; `final_sequence` is None until the log is closed, or was lost."""

    id: GenerationId
    chat_id: ChatId
    user_message_id: MessageId
    assistant_message_id: MessageId
    status: str
    attempt: int
    model: str | None
    usage: dict[str, Any] | None
    finish_reason: str | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    first_token_at: datetime | None
    finished_at: datetime | None
    closed_at: datetime | None
    final_sequence: int | None


_ROW = tuple(getattr(Generation, name) for name in GenerationRow._fields)


class EndedGeneration(NamedTuple):
    """A generation that is over, as its rows have it: what a log is rebuilt from. `parts` is None for plain text."""

    attempt: int
    outcome: Outcome
    content: str
    parts: list[MessagePart] | None


class GenerationState(NamedTuple):
    """A generation's status, and whether its row says that its log is closed."""

    status: str
    is_closed: bool


async def find_generation(db: Connection, user_id: UserId, generation_id: GenerationId) -> GenerationRow:
    """One generation.

    Raises:
        GenerationNotFound: absent, or another user's.

    """
    statement = select(*_ROW).where(Generation.id == generation_id, Generation.user_id == user_id)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise GenerationNotFound
    return GenerationRow._make(row)


async def find_latest(db: Connection, user_id: UserId, chat_id: ChatId) -> GenerationRow | None:
    """The chat's live generation, else the newest whose reply is not replaced; None when the chat has none.

    Raises:
        ChatNotFound: absent, or another user's.

    """
    owned = select(Chat.id).where(Chat.id == chat_id, Chat.user_id == user_id)
    if (await db.execute(owned)).one_or_none() is None:
        raise ChatNotFound
    in_chat = select(Generation.id).where(Generation.chat_id == chat_id)
    live = in_chat.where(Generation.status.in_(LIVE))
    newest = (
        in_chat.join(Message, Message.id == Generation.assistant_message_id)
        .where(~Message.replaced)
        .order_by(Generation.created_at.desc())
        .limit(1)
    )
    one = func.coalesce(live.scalar_subquery(), newest.scalar_subquery())
    row = (await db.execute(select(*_ROW).where(Generation.id == one))).one_or_none()
    return GenerationRow._make(row) if row else None


async def find_many(db: Connection, generation_ids: Sequence[GenerationId]) -> list[GenerationRow]:
    """These generations, in the order of their messages."""
    statement = select(*_ROW).where(Generation.id.in_(generation_ids)).order_by(Generation.user_message_id)
    return [GenerationRow._make(row) for row in await db.execute(statement)]


async def find_queue_positions(db: Connection, limit: int) -> dict[GenerationId, int]:
    """The positions from 1 of queued generations, and 0 for each waiting one; at most `limit` of each kind."""
    queued = (
        select(Generation.id, func.row_number().over(order_by=(Generation.created_at, Generation.id)))
        .where(Generation.status == GenerationStatus.QUEUED)
        .order_by(Generation.created_at, Generation.id)
        .limit(limit)
    )
    waiting = select(Generation.id, literal(0)).where(Generation.status == GenerationStatus.WAITING).limit(limit)
    rows = (await db.execute(union_all(queued.subquery().select(), waiting.subquery().select()))).all()
    return {GenerationId(generation_id): position for generation_id, position in rows}


async def find_ended(db: Connection, generation_id: GenerationId) -> EndedGeneration | None:
    """A generation that is over, with its reply; None when the generation is gone."""
    statement = (
        select(
            Generation.status,
            Generation.attempt,
            Generation.finish_reason,
            Generation.error_code,
            Generation.error_message,
            Generation.usage,
            Message.content,
            Message.parts,
        )
        .join(Message, Message.id == Generation.assistant_message_id)
        .where(Generation.id == generation_id)
    )
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        return None
    outcome = Outcome.from_row(row.status, row.finish_reason, row.error_code, row.error_message, row.usage)
    return EndedGeneration(row.attempt, outcome, row.content, cast("list[MessagePart] | None", row.parts))


async def find_state(db: Connection, generation_id: GenerationId) -> GenerationState | None:
    """The state of a generation; None when the generation is gone."""
    statement = select(Generation.status, Generation.closed_at.is_not(None)).where(Generation.id == generation_id)
    row = (await db.execute(statement)).one_or_none()
    return GenerationState._make(row) if row else None
