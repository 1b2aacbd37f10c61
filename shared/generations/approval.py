"""Generations that wait for a person's decision on what one of their tool calls proposed.

    running ──▶ pause ──▶ awaiting_approval ──▶ resume ──▶ queued        every operation of the generation is over
                                            └──▶ cancel ──▶ cancelled    (cancel.py)

While a generation waits, no worker has it, and it holds no lease and no slot; its time begins anew when it goes on. Its log
stays open. The reply is saved as far as it goes, so that the log can be made whole again: by the API where somebody reads
(services/api/streaming/restore.py), by the worker that goes on, or by whoever closes the log (close_log.py).

Everybody locks in this order: the chat, the generation, the user, the operation. So either the one who pauses sees the
decision, or the one who decides sees the pause.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Interval, Select, cast, exists, func, select, update
from sqlalchemy.sql.elements import ColumnElement

from shared.database.engine import Connection
from shared.database.tables import Generation, Message, Operation
from shared.generations.finish import FinishedReply
from shared.generations.turn_order import QUEUED_GENERATION, QUEUED_NOW, QueuedGeneration
from shared.ids import GenerationId
from shared.states import OPEN_OPERATIONS, GenerationStatus, MessageStatus
from shared.token_usage import TokenUsage

RUNNING, AWAITING = GenerationStatus.RUNNING, GenerationStatus.AWAITING_APPROVAL
_IS_AWAITED: Final = exists().where(Operation.generation_id == Generation.id, Operation.status.in_(OPEN_OPERATIONS))


async def lock(db: Connection, generation_id: GenerationId) -> None:
    """Lock a generation, before an operation of its is decided. Belongs in the transaction that decides."""
    await db.execute(select(Generation.id).where(Generation.id == generation_id).with_for_update(key_share=True))


async def pause(
    db: Connection,
    generation_id: GenerationId,
    attempt: int,
    reply: FinishedReply,
    *,
    log_length: int | None = None,
    usage: TokenUsage | None = None,
    first_token_ago: timedelta | None = None,
) -> bool:
    """Let a generation wait for the decisions on its operations, and save its reply so far. Belongs in a transaction.

    The log has all of the reply, and its last frame has the sequence `log_length`; None where that is not known. A log that
    is shorter while the generation waits has lost its end. `usage` is what the model calls took so far, and `first_token_ago`
    how long ago this attempt's first token came: the next attempt goes on from both.

    The reply stays pending. Call `resume` in the same transaction: the decision may be there already. Returns False when
    another attempt has the generation, or the generation is over.
    """
    paused = (
        update(Generation)
        .where(Generation.id == generation_id, Generation.attempt == attempt, Generation.status == RUNNING)
        .values(
            status=AWAITING,
            lease_expires_at=None,
            slot=None,
            log_length=log_length,
            usage=usage.to_row() if usage else None,
            first_token_at=func.coalesce(Generation.first_token_at, func.now() - cast(first_token_ago, Interval)),
        )
        .returning(Generation.assistant_message_id)
    )
    message_id = (await db.execute(paused)).scalar_one_or_none()
    if message_id is None:
        return False
    saved = update(Message).where(Message.id == message_id, Message.status == MessageStatus.PENDING)
    await db.execute(saved.values(content=reply.content, parts=reply.parts, sources=reply.sources))
    return True


async def resume(db: Connection, generation_id: GenerationId) -> QueuedGeneration | None:
    """Queue a generation all of whose operations are over. Belongs in the transaction that decided or paused.

    Returns the generation, whose job is to be sent after the commit; None where it waits on, or does not wait.
    """
    await lock(db, generation_id)
    resumed = await _resume(db, Generation.id == generation_id)
    return resumed[0] if resumed else None


async def resume_forgotten(db: Connection, limit: int = 100) -> Sequence[QueuedGeneration]:
    """Queue what awaits nothing any more, for the sweep. Belongs in a transaction.

    An operation may have gone with its data source.
    """
    return await _resume(db, Generation.id.in_(_forgotten(limit)))


def _forgotten(limit: int) -> Select[UUID]:
    forgotten = select(Generation.id).where(Generation.status == AWAITING, ~_IS_AWAITED)
    return forgotten.order_by(Generation.id).limit(limit).with_for_update(skip_locked=True)


async def _resume(db: Connection, which: ColumnElement[bool]) -> Sequence[QueuedGeneration]:
    queued = (
        update(Generation)
        .where(which, Generation.status == AWAITING, ~_IS_AWAITED)
        .values(**QUEUED_NOW)
        .returning(*QUEUED_GENERATION)
    )
    # The parts stay: the worker that goes on may find that the log is gone.
    return [QueuedGeneration._make(row) for row in await db.execute(queued)]
