"""What the sweep looks for: generations that were left behind. Any number of sweeps may run at the same time.

A generation whose worker died is queued again. After the third loss (`MAX_LOSSES` in shared/states.py) the generation fails with
`worker_lost`: its readers keep the text so far, and get an `error` frame with that code (outcome.py).
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import Interval, Update, case, cast, extract, func, literal, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from shared.database.engine import Connection, Database
from shared.database.ownership import IS_HIDDEN
from shared.database.tables import Generation, Message
from shared.errors import WorkerLost
from shared.generations.cancel import OpenGeneration
from shared.generations.outcome import Outcome
from shared.generations.turn_order import IN_QUEUE_SINCE
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.states import MAX_LOSSES, TERMINAL, GenerationStatus, MessageStatus

LOST: Final = Outcome.failed(WorkerLost())
"""How a generation ends after its third loss."""
LONGEST_BACKOFF: Final = timedelta(seconds=30)
QUEUED, RUNNING = GenerationStatus.QUEUED, GenerationStatus.RUNNING


def fail_replies(message_ids: Sequence[int]) -> Update:
    """Mark the replies of generations that failed without a worker. Belongs in the transaction that failed them."""
    return update(Message).where(Message.id.in_(message_ids)).values(status=MessageStatus.FAILED)


def take_over_expired(limit: int = 100) -> ReturningUpdate[UUID, str, int, int, str | None, str | None, int, int, bool]:
    """Queue again what lost its worker, or fail it when that has happened too often.

    Returns (id, status, attempt, assistant_message_id, model, traceparent, user_id, chat_id, is_hidden). A failed one's
    attempt is raised, so that its worker, should it come back, is refused by the log too.
    """
    exhausted = Generation.losses + 1 >= MAX_LOSSES
    lost = (
        select(Generation.id)
        .where(Generation.status == RUNNING, Generation.lease_expires_at < func.now())
        .order_by(Generation.lease_expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (
        update(Generation)
        .where(Generation.id.in_(lost))
        .values(
            status=case((exhausted, LOST.status.value), else_=QUEUED.value),
            attempt=Generation.attempt + case((exhausted, 1), else_=0),
            losses=Generation.losses + 1,
            lease_expires_at=None,
            queued_at=func.now(),
            in_queue_since=func.now(),
            finished_at=case((exhausted, func.now()), else_=None),
            error_code=case((exhausted, LOST.error_code), else_=None),
            error_message=case((exhausted, LOST.error_message), else_=None),
        )
        .returning(
            Generation.id,
            Generation.status,
            Generation.attempt,
            Generation.assistant_message_id,
            Generation.model,
            Generation.traceparent,
            Generation.user_id,
            Generation.chat_id,
            IS_HIDDEN,
        )
    )


def queued_again(older_than: timedelta, limit: int = 100) -> ReturningUpdate[UUID, str | None]:
    """Queued rows that no worker took for a while, marked as sent now. Returns (id, traceparent), to be sent again.

    The longer a row waits, the longer the pause until its job is sent again, up to 30 s: the workers may just have much to do.
    """
    age = extract("epoch", func.now() - IN_QUEUE_SINCE)
    backoff = func.make_interval(0, 0, 0, 0, 0, 0, func.least(age / 4, LONGEST_BACKOFF.total_seconds()))
    patience = func.greatest(cast(literal(older_than), Interval), backoff)
    waiting = (
        select(Generation.id)
        .where(Generation.status == QUEUED, Generation.queued_at < func.now() - patience)
        .order_by(Generation.queued_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (
        update(Generation)
        .where(Generation.id.in_(waiting))
        .values(queued_at=func.now())
        .returning(Generation.id, Generation.traceparent)
    )


class UnclosedLog(NamedTuple):
    """A generation that is over, whose log may still be open, and how the generation ended."""

    generation: OpenGeneration
    outcome: Outcome
    traceparent: str | None


async def find_unclosed(db: Connection, older_than: timedelta, limit: int = 100) -> list[UnclosedLog]:
    """Generations that ended longer ago than `older_than`, and whose log nobody has closed; the oldest first."""
    statement = (
        select(
            Generation.id,
            Generation.attempt,
            Message.id.label("message_id"),
            Message.content,
            Generation.user_message_id,
            Generation.chat_id,
            Generation.status,
            Generation.finish_reason,
            Generation.error_code,
            Generation.error_message,
            Generation.usage,
            Generation.traceparent,
            Generation.user_id,
            Generation.chat_id,
            IS_HIDDEN.label("is_hidden"),
        )
        .join(Message, Message.id == Generation.assistant_message_id)
        .where(
            Generation.status.in_(TERMINAL),
            Generation.closed_at.is_(None),
            or_(
                Generation.finished_at < func.now() - cast(literal(older_than), Interval),
                Generation.error_code == LOST.error_code,  # nobody else will close it
            ),
        )
        .order_by(Generation.finished_at)
        .limit(limit)
    )
    return [
        UnclosedLog(
            OpenGeneration(
                GenerationId(row.id),
                row.attempt,
                MessageId(row.message_id),
                row.content,
                MessageId(row.user_message_id),
                UserId(row.user_id),
                ChatId(row.chat_id),
                row.is_hidden,
            ),
            Outcome.from_row(row.status, row.finish_reason, row.error_code, row.error_message, row.usage),
            row.traceparent,
        )
        for row in await db.execute(statement)
    ]


async def oldest_queued(database: Database) -> float:
    """The seconds for which the oldest queued generation waits for a worker; 0 when none is queued.

    Not since its job was sent: the sweep sets that time anew whenever it sends the job again.
    """
    age = extract("epoch", func.now() - func.min(IN_QUEUE_SINCE))
    async with database.connect() as db:
        oldest = await db.execute(select(func.coalesce(age, 0)).where(Generation.status == QUEUED))
        return float(oldest.scalar_one())
