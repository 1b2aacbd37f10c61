"""What the sweep looks for: generations that were left behind. Pure builders; any number of sweeps may run at once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Interval, Select, Update, case, cast, extract, func, literal, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from shared.database.engine import Database
from shared.database.tables import Generation, Message
from shared.states import MAX_LOSSES, TERMINAL, GenerationStatus, MessageStatus

WORKER_LOST: Final = "worker_lost"
LONGEST_BACKOFF: Final = timedelta(seconds=30)
QUEUED, RUNNING, FAILED = GenerationStatus.QUEUED, GenerationStatus.RUNNING, GenerationStatus.FAILED


def fail_replies(message_ids: Sequence[int]) -> Update:
    """Mark the replies of generations that failed without a worker. Belongs in the transaction that failed them."""
    return update(Message).where(Message.id.in_(message_ids)).values(status=MessageStatus.FAILED)


def take_over_expired(limit: int = 100) -> ReturningUpdate[UUID, str, int, int, str | None, str | None]:
    """Queue again what lost its worker, or fail it when that has happened too often.

    Returns (id, status, attempt, assistant_message_id, model, traceparent). A failed one's attempt is raised, so that its
    worker, should it come back, is refused by the log too.
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
            status=case((exhausted, FAILED.value), else_=QUEUED.value),
            attempt=Generation.attempt + case((exhausted, 1), else_=0),
            losses=Generation.losses + 1,
            lease_expires_at=None,
            queued_at=func.now(),
            finished_at=case((exhausted, func.now()), else_=None),
            error_code=case((exhausted, WORKER_LOST), else_=None),
            error_message=case((exhausted, "The answer was interrupted too often."), else_=None),
        )
        .returning(
            Generation.id,
            Generation.status,
            Generation.attempt,
            Generation.assistant_message_id,
            Generation.model,
            Generation.traceparent,
        )
    )


def queued_again(older_than: timedelta, limit: int = 100) -> ReturningUpdate[UUID]:
    """Queued rows that no worker took for a while, marked as sent now. Returns their ids, to be sent again.

    The longer a row waits, the more seldom it is sent again, every 30 s at last: the workers may just have much to do.
    """
    age = extract("epoch", func.now() - Generation.created_at)
    backoff = func.make_interval(0, 0, 0, 0, 0, 0, func.least(age / 4, LONGEST_BACKOFF.total_seconds()))
    patience = func.greatest(cast(literal(older_than), Interval), backoff)
    waiting = (
        select(Generation.id)
        .where(Generation.status == QUEUED, Generation.queued_at < func.now() - patience)
        .order_by(Generation.queued_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return update(Generation).where(Generation.id.in_(waiting)).values(queued_at=func.now()).returning(Generation.id)


def unclosed(older_than: timedelta, limit: int = 100) -> Select[Any]:
    """Terminal generations whose log may still be open, with their reply's text.

    Returns (id, attempt, status, finish_reason, error_code, error_message, usage, traceparent, message id, content).
    """
    return (
        select(
            Generation.id,
            Generation.attempt,
            Generation.status,
            Generation.finish_reason,
            Generation.error_code,
            Generation.error_message,
            Generation.usage,
            Generation.traceparent,
            Message.id.label("message_id"),
            Message.content,
        )
        .join(Message, Message.id == Generation.assistant_message_id)
        .where(
            Generation.status.in_(TERMINAL),
            Generation.closed_at.is_(None),
            or_(
                Generation.finished_at < func.now() - cast(literal(older_than), Interval),
                Generation.error_code == WORKER_LOST,  # nobody else will close it
            ),
        )
        .order_by(Generation.finished_at)
        .limit(limit)
    )


async def oldest_queued(database: Database) -> float:
    """The seconds since the oldest queued generation was accepted; 0 when none is queued.

    Not since it was queued: the sweep sets that time anew whenever it sends the job again.
    """
    age = extract("epoch", func.now() - func.min(Generation.created_at))
    async with database.connect() as db:
        oldest = await db.execute(select(func.coalesce(age, 0)).where(Generation.status == QUEUED))
        return float(oldest.scalar_one())
