"""The order of a chat's generations: one is live, the others wait; when the live one's log is closed, the next is queued."""

from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Select, Update, bindparam, exists, func, literal, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.elements import ColumnElement

from shared.database.engine import Connection
from shared.database.tables import Generation
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.jobs.sender import JobSender
from shared.protocol.feed_events import generation_status
from shared.states import LIVE, TERMINAL, GenerationStatus
from shared.streams.feed.publisher import FeedPublisher

WAITING, QUEUED = GenerationStatus.WAITING, GenerationStatus.QUEUED


class QueuedGeneration(NamedTuple):
    """A generation that waited for its turn, and is queued now. `message_id` is its reply's."""

    id: GenerationId
    user_id: UserId
    chat_id: ChatId
    message_id: MessageId


def send(jobs: JobSender, feed: FeedPublisher, queued: QueuedGeneration) -> None:
    """Send the job of a generation whose turn has come, and tell its user's readers. Belongs after the commit."""
    feed.tell(queued.user_id, generation_status(queued.chat_id, queued.id, queued.message_id, QUEUED))
    jobs.generate(queued.id)


QUEUED_NOW: Final[dict[str, Any]] = {"status": QUEUED, "queued_at": func.now(), "in_queue_since": func.now()}
IN_QUEUE_SINCE: Final = func.coalesce(Generation.in_queue_since, Generation.created_at)
"""Since when a generation waits for a worker. Before, it may have waited for its turn, or for a person to decide."""
QUEUED_GENERATION: Final = (Generation.id, Generation.user_id, Generation.chat_id, Generation.assistant_message_id)


def _next_in(chat: ColumnElement[Any]) -> Select[UUID]:
    """The chat's generation that waits longest, if nothing of the chat's is live."""
    live = aliased(Generation)
    return (
        select(Generation.id)
        .where(Generation.chat_id == chat, Generation.status == WAITING)
        .where(~exists().where(live.chat_id == chat, live.status.in_(LIVE)))
        .order_by(Generation.user_message_id)
        .limit(1)
    )


def promote(chat_id: ChatId | None = None, limit: int = 100) -> ReturningUpdate[UUID, int, int, int]:
    """Queue what waited for its turn in this chat, or in any. Returns rows of QueuedGeneration, to be sent.

    May violate the index of live generations when another message is accepted in the same moment; then there is nothing to do.
    """
    if chat_id is not None:
        due = _next_in(literal(chat_id)).scalar_subquery()
        return update(Generation).where(Generation.id == due).values(**QUEUED_NOW).returning(*QUEUED_GENERATION)
    waiting, live = aliased(Generation), aliased(Generation)
    first = (
        select(waiting.id)
        .ext(distinct_on(waiting.chat_id))
        .where(waiting.status == WAITING)
        .where(~exists().where(live.chat_id == waiting.chat_id, live.status.in_(LIVE)))
        .order_by(waiting.chat_id, waiting.user_message_id)
        .limit(limit)
    )
    return (
        update(Generation)
        .where(Generation.id.in_(first), Generation.status == WAITING)
        .values(**QUEUED_NOW)
        .returning(*QUEUED_GENERATION)
    )


def _mark_closed() -> ReturningUpdate[UUID, int, int, int]:
    closed = (
        update(Generation)
        .where(Generation.id == bindparam("generation"))
        .values(
            closed_at=func.now(),
            attempt=func.greatest(Generation.attempt, bindparam("last_attempt", type_=BigInteger)),
            final_sequence=bindparam("last_sequence", type_=BigInteger),
        )
        .returning(Generation.chat_id)
        .cte("closed")
    )
    due = _next_in(select(closed.c.chat_id).scalar_subquery()).scalar_subquery()
    return update(Generation).where(Generation.id == due).values(**QUEUED_NOW).returning(*QUEUED_GENERATION)


_MARK_CLOSED: Final = _mark_closed()


async def mark_closed(
    db: Connection, generation_id: GenerationId, attempt: int, final_sequence: int | None
) -> QueuedGeneration | None:
    """Note that the generation's log ends with this frame (None: the log is gone), and queue the chat's next generation.

    Returns the generation that was queued, so that the caller sends its job; None when none waited.
    """
    values = {"generation": generation_id, "last_attempt": attempt, "last_sequence": final_sequence}
    due = (await db.execute(_MARK_CLOSED, values)).one_or_none()
    return QueuedGeneration._make(due) if due else None


def reopen(generation_id: GenerationId) -> Update:
    """Have the sweep close the generation's log once more: Redis has lost its end, which the row says was there."""
    return (
        update(Generation)
        .where(Generation.id == generation_id, Generation.status.in_(TERMINAL), Generation.closed_at.is_not(None))
        .values(closed_at=None)
    )
