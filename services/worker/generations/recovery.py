"""The sweep: find what was left behind, and queue it again or end it. Any process may run it, and several at once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from structlog.contextvars import bound_contextvars

from services.worker.generations.attempt import close
from services.worker.generations.desk import Desk
from shared.errors import AppendRefused
from shared.generations import recover
from shared.generations.close_log import close_log
from shared.generations.recover import UnclosedLog
from shared.generations.turn_order import promote
from shared.ids import GenerationId
from shared.states import GenerationStatus
from shared.telemetry.logs import get_logger
from shared.telemetry.traces import bound_trace, read_traceparent

log = get_logger(__name__)

UNTAKEN_AFTER: Final = timedelta(seconds=5)
UNCLOSED_AFTER: Final = timedelta(seconds=5)


async def sweep(desk: Desk) -> None:
    """One pass: expired leases, rows that no worker took or whose turn has come, logs that nobody closed."""
    async with desk.database.begin() as db:
        lost = (await db.execute(recover.take_over_expired())).all()
        failed = [row.assistant_message_id for row in lost if row.status == GenerationStatus.FAILED]
        if failed:
            await db.execute(recover.fail_replies(failed))
    for row in lost:
        with bound_contextvars(generation_id=str(row.id)), bound_trace(read_traceparent(row.traceparent)):
            if row.status == GenerationStatus.QUEUED:
                log.warning("generation_lost", attempt=row.attempt)
                desk.jobs.generate(GenerationId(row.id))
            else:
                model = row.model or desk.models.default
                log.warning("answer_failed", attempt=row.attempt, code=recover.WORKER_LOST, model=model)
                desk.metrics.generation_ended(GenerationStatus.FAILED)
    async with desk.database.connect() as db:
        untaken = (await db.execute(recover.queued_again(UNTAKEN_AFTER))).scalars().all()
    for generation_id in (*untaken, *await _promoted(desk)):
        desk.jobs.generate(GenerationId(generation_id))
    async with desk.database.connect() as db:
        unclosed = await recover.find_unclosed(db, UNCLOSED_AFTER)
    for one in unclosed:
        with bound_contextvars(generation_id=str(one.generation.id)), bound_trace(read_traceparent(one.traceparent)):
            await _close(desk, one)


async def _promoted(desk: Desk) -> Sequence[UUID]:
    try:
        async with desk.database.connect() as db:
            return (await db.execute(promote())).scalars().all()
    except IntegrityError:
        # In one of the chats a message was accepted in this very moment. The next pass looks again.
        return ()


async def _close(desk: Desk, unclosed: UnclosedLog) -> None:
    """Write what the log lacks of a reply that is over. A log that is gone stays gone: the row serves instead."""
    generation, outcome, _ = unclosed
    if await desk.stream_log.head(generation.id) is None:
        await close(desk, generation.id, generation.attempt, None)
        return
    try:
        closed = await close_log(desk.database, desk.writer, desk.stream_log, generation, outcome)
    except (AppendRefused, IntegrityError) as refusal:
        # Somebody else is closing it, or a message was accepted in this moment. The next pass looks again.
        log.warning("close_refused", error=type(refusal).__name__)
        return
    if closed.due is not None:
        desk.jobs.generate(closed.due)
