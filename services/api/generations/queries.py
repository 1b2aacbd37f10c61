"""Generations in the database."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import Row, func, literal, select, union_all

from shared.database.engine import Connection
from shared.database.tables import Chat, Generation, Message
from shared.errors import ChatNotFound, GenerationNotFound
from shared.generations.outcome import Outcome
from shared.ids import ChatId, GenerationId, UserId
from shared.protocol.message_parts import MessagePart
from shared.states import LIVE, GenerationStatus

_VIEW = (
    Generation.id,
    Generation.chat_id,
    Generation.user_message_id,
    Generation.assistant_message_id,
    Generation.status,
    Generation.attempt,
    Generation.model,
    Generation.usage,
    Generation.finish_reason,
    Generation.error_code,
    Generation.error_message,
    Generation.created_at,
    Generation.started_at,
    Generation.first_token_at,
    Generation.finished_at,
    Generation.closed_at,
    Generation.final_sequence,
)


async def find_generation(db: Connection, user_id: UserId, generation_id: GenerationId) -> Row[Any]:
    """One generation.

    Raises:
        GenerationNotFound: absent, or another's.

    """
    statement = select(*_VIEW).where(Generation.id == generation_id, Generation.user_id == user_id)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise GenerationNotFound
    return row


async def find_latest(db: Connection, user_id: UserId, chat_id: ChatId) -> Row[Any] | None:
    """The chat's live generation, else its newest; None when it has none.

    Raises:
        ChatNotFound: absent, or another's.

    """
    owned = select(Chat.id).where(Chat.id == chat_id, Chat.user_id == user_id)
    if (await db.execute(owned)).one_or_none() is None:
        raise ChatNotFound
    in_chat = select(Generation.id).where(Generation.chat_id == chat_id)
    live = in_chat.where(Generation.status.in_(LIVE))
    newest = in_chat.order_by(Generation.created_at.desc()).limit(1)
    one = func.coalesce(live.scalar_subquery(), newest.scalar_subquery())
    statement = select(*_VIEW).where(Generation.id == one)
    return (await db.execute(statement)).one_or_none()


async def find_many(db: Connection, generation_ids: Sequence[GenerationId]) -> Sequence[Row[Any]]:
    """These generations, in the order of their messages."""
    statement = select(*_VIEW).where(Generation.id.in_(generation_ids)).order_by(Generation.user_message_id)
    return (await db.execute(statement)).all()


async def find_line(db: Connection, limit: int) -> dict[GenerationId, int]:
    """The positions from 1 of queued generations, and 0 for waiting ones; at most `limit` of each."""
    queued = (
        select(Generation.id, func.row_number().over(order_by=(Generation.created_at, Generation.id)))
        .where(Generation.status == GenerationStatus.QUEUED)
        .order_by(Generation.created_at, Generation.id)
        .limit(limit)
    )
    waiting = select(Generation.id, literal(0)).where(Generation.status == GenerationStatus.WAITING).limit(limit)
    rows = (await db.execute(union_all(queued.subquery().select(), waiting.subquery().select()))).all()
    return {GenerationId(generation_id): position for generation_id, position in rows}


class EndedGeneration(NamedTuple):
    """A generation that is over, as its rows keep it: what a log is rebuilt from. `parts` is None for plain text."""

    attempt: int
    outcome: Outcome
    content: str
    parts: list[MessagePart] | None


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


class GenerationState(NamedTuple):
    """A generation's status, and whether its log is closed as far as the row knows."""

    status: str
    closed: bool


async def find_state(db: Connection, generation_id: GenerationId) -> GenerationState | None:
    """Where a generation stands; None when it is gone."""
    statement = select(Generation.status, Generation.closed_at.is_not(None)).where(Generation.id == generation_id)
    row = (await db.execute(statement)).one_or_none()
    return GenerationState._make(row) if row else None
