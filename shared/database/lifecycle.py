"""The life of a generation as statements: every move is a compare-and-set on (status, attempt), timed by the database.

A statement that changes or returns no row means: somebody else has moved the generation on. Those that every generation
runs are built once, since building one takes as long as running it; the others are made by pure builders.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    Interval,
    Row,
    Select,
    Update,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.elements import ColumnElement

from shared.database.engine import Connection
from shared.database.tables import Generation, Message
from shared.generation import MAX_LOSSES, TERMINAL, GenerationStatus, MessageStatus, message_status
from shared.ids import GenerationId

WORKER_LOST: Final = "worker_lost"
QUEUED, RUNNING, FAILED = GenerationStatus.QUEUED, GenerationStatus.RUNNING, GenerationStatus.FAILED


def _claim() -> ReturningUpdate[int, int, int, int, str | None]:
    return (
        update(Generation)
        .where(Generation.id == bindparam("generation"), Generation.status == QUEUED)
        .values(
            status=RUNNING,
            attempt=Generation.attempt + 1,
            lease_expires_at=func.now() + bindparam("lease", type_=Interval),
            started_at=func.coalesce(Generation.started_at, func.now()),
        )
        .returning(
            Generation.attempt,
            Generation.chat_id,
            Generation.user_message_id,
            Generation.assistant_message_id,
            Generation.model,
        )
    )


_CLAIM: Final = _claim()


async def claim(
    db: Connection, generation_id: GenerationId, lease: timedelta
) -> Row[int, int, int, int, str | None] | None:
    """Take a queued generation.

    Returns (attempt, chat_id, user_message_id, assistant_message_id, model): the attempt (>= 1) is the fence of all later
    writes. No row when it is held, over or gone.
    """
    return (await db.execute(_CLAIM, {"generation": generation_id, "lease": lease})).one_or_none()


def renew(held: Iterable[tuple[GenerationId, int]], lease: timedelta) -> ReturningUpdate[UUID]:
    """Prolong the leases of (generation, attempt) pairs. Returns the ids that are still held."""
    return (
        update(Generation)
        .where(tuple_(Generation.id, Generation.attempt).in_(list(held)), Generation.status == RUNNING)
        .values(lease_expires_at=_in(lease))
        .returning(Generation.id)
    )


def release(held: Iterable[tuple[GenerationId, int]]) -> ReturningUpdate[UUID]:
    """Give generations back so that another worker continues at once. It is not counted as a loss."""
    return (
        update(Generation)
        .where(tuple_(Generation.id, Generation.attempt).in_(list(held)), Generation.status == RUNNING)
        .values(status=QUEUED, lease_expires_at=None, queued_at=func.now())
        .returning(Generation.id)
    )


def _finish() -> ReturningUpdate[int]:
    ended = (
        update(Generation)
        .where(
            Generation.id == bindparam("generation"),
            Generation.attempt == bindparam("held_attempt"),
            Generation.status == RUNNING,
        )
        .values(
            status=bindparam("final_status"),
            lease_expires_at=None,
            finished_at=func.now(),
            finish_reason=bindparam("final_reason"),
            error_code=bindparam("final_error"),
            error_message=bindparam("final_error_message"),
            usage=bindparam("final_usage"),
            model=func.coalesce(Generation.model, bindparam("final_model")),
            first_token_at=func.now() - cast(bindparam("first_token_ago"), Interval),
        )
        .returning(Generation.assistant_message_id)
        .cte("ended")
    )
    return (
        update(Message)
        .where(Message.id == ended.c.assistant_message_id)
        .values(
            content=bindparam("final_content"),
            status=bindparam("final_message_status"),
            usage=bindparam("final_usage"),
        )
        .returning(Message.id)
    )


_FINISH: Final = _finish()


async def finish(
    db: Connection,
    generation_id: GenerationId,
    attempt: int,
    status: GenerationStatus,
    content: str,
    *,
    finish_reason: str | None = None,
    error_code: str | None = None,
    error_message: str | None = None,
    usage: dict[str, int] | None = None,
    model: str | None = None,
    first_token_ago: timedelta | None = None,
) -> bool:
    """End the generation that this attempt holds and save its reply, in one statement: both or neither.

    `first_token_ago` is how long ago this attempt's first token came. Returns False when another has it, or it is gone.
    """
    values = {
        "generation": generation_id,
        "held_attempt": attempt,
        "final_status": status,
        "final_reason": finish_reason,
        "final_error": error_code,
        "final_error_message": error_message,
        "final_usage": usage,
        "final_model": model,
        "first_token_ago": first_token_ago,
        "final_content": content,
        "final_message_status": message_status(status),
    }
    return (await db.execute(_FINISH, values)).one_or_none() is not None


def save_reply(message_id: int, status: GenerationStatus, content: str, usage: dict[str, Any] | None = None) -> Update:
    """Write what a generation made into its message, where `finish` could not."""
    return (
        update(Message)
        .where(Message.id == message_id)
        .values(content=content, status=message_status(status), usage=usage)
    )


def fail_replies(message_ids: Sequence[int]) -> Update:
    """Mark the replies of generations that failed without a worker. Belongs in the transaction that failed them."""
    return update(Message).where(Message.id.in_(message_ids)).values(status=MessageStatus.FAILED)


def take_over_expired(limit: int = 100) -> ReturningUpdate[UUID, str, int, int]:
    """Queue again what lost its worker, or fail it when that has happened too often.

    Returns (id, status, attempt, assistant_message_id). A failed one's attempt is raised, so that its worker, should it
    come back, is refused by the log too.
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
        .returning(Generation.id, Generation.status, Generation.attempt, Generation.assistant_message_id)
    )


def queued_again(older_than: timedelta, limit: int = 100) -> ReturningUpdate[UUID]:
    """Queued rows that no worker took for a while, marked as sent now. Returns their ids, to be sent again."""
    waiting = (
        select(Generation.id)
        .where(Generation.status == QUEUED, Generation.queued_at < func.now() - cast(literal(older_than), Interval))
        .order_by(Generation.queued_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return update(Generation).where(Generation.id.in_(waiting)).values(queued_at=func.now()).returning(Generation.id)


def unclosed(older_than: timedelta, limit: int = 100) -> Select[Any]:
    """Terminal generations whose log may still be open, with their reply's text.

    Returns (id, attempt, status, finish_reason, error_code, error_message, usage, message id, content).
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


_CLOSE: Final = update(Generation).where(Generation.id == bindparam("generation")).values(closed_at=func.now())


async def close(db: Connection, generation_id: GenerationId) -> None:
    """Note that the generation's log has its terminal frame."""
    await db.execute(_CLOSE, {"generation": generation_id})


def _in(lease: timedelta) -> ColumnElement[Any]:
    return func.now() + cast(literal(lease), Interval)
