"""What follows when a request has ended generations: their workers stop, and their readers get the end.

The rows are terminal, or gone, before this begins. So this is bounded in time and never raises: where it fails, the
sweep closes the log, the heartbeat stops the worker, and readers look at the row themselves.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy import ColumnElement
from sqlalchemy.exc import SQLAlchemyError

from shared.database.engine import Database
from shared.database.tables import Operation
from shared.errors import CortexAIError
from shared.generations.cancel import DeletedGenerations, OpenGeneration
from shared.generations.cancel import cancel as cancel_generations
from shared.generations.close_log import abandon_log, close_log
from shared.generations.outcome import Outcome
from shared.generations.turn_order import send
from shared.ids import GenerationId
from shared.jobs.sender import JobSender
from shared.operations.abandoned import refuse_abandoned
from shared.states import GenerationStatus
from shared.streams.cancel_signals import CancelSignals
from shared.streams.redis import Streams
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics

log = get_logger(__name__)

WITHIN: Final = 3.0
"""Seconds after which the rest is left to the sweep."""
AT_A_TIME: Final = 8
"""How many logs are closed at the same time."""


async def cancel(
    database: Database, streams: Streams, jobs: JobSender, metrics: Metrics, *which: ColumnElement[bool]
) -> list[GenerationId]:
    """Cancel open generations, waiting ones too. Returns the ids of those that this call has cancelled.

    When it returns, their logs are closed, or the sweep will close them.
    """
    async with database.connect() as db:
        cancelled = await cancel_generations(db, *which)
    await end_cancelled(database, streams, jobs, metrics, cancelled)
    return [generation.id for generation in cancelled]


async def end_cancelled(
    database: Database, streams: Streams, jobs: JobSender, metrics: Metrics, cancelled: Sequence[OpenGeneration]
) -> None:
    """Stop the workers of cancelled generations, close the logs, and send the generations that waited behind them."""

    async def end(one: OpenGeneration) -> None:
        closed = await close_log(database, streams.writer, streams.reader, streams.feed, one, Outcome.cancelled())
        if closed.due is not None:
            send(jobs, streams.feed, closed.due)

    await _end_all(streams.cancel_signals, cancelled, end)
    metrics.generation_ended(GenerationStatus.CANCELLED, len(cancelled))
    await _refuse_proposals(database, streams, jobs, [one.id for one in cancelled])


async def _refuse_proposals(
    database: Database, streams: Streams, jobs: JobSender, generations: Sequence[GenerationId]
) -> None:
    """Refuse what cancelled generations have proposed. Nobody can approve it any more, also where this fails."""
    if not generations:
        return
    try:
        async with asyncio.timeout(WITHIN):
            await refuse_abandoned(database, jobs, streams.feed, Operation.generation_id.in_(generations))
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("refusal_left_to_the_sweep", error=type(error).__name__)


async def end_deleted(streams: Streams, deleted: DeletedGenerations) -> None:
    """Stop the workers of generations whose rows are gone, tell their readers, and delete their logs.

    A log that was open is kept for a moment, for its readers, and as the fence that keeps its worker from writing on.
    """

    async def end(one: OpenGeneration) -> None:
        try:
            await abandon_log(streams.writer, streams.reader, one)
        finally:
            await streams.removal.expire_logs([one.id])

    await _end_all(streams.cancel_signals, deleted.unclosed, end)
    await _remove(streams, deleted.closed)


async def _remove(streams: Streams, closed: Sequence[GenerationId]) -> None:
    """Delete logs that nobody writes any more."""
    try:
        async with asyncio.timeout(WITHIN):
            await streams.removal.delete_logs(closed)
    except (CortexAIError, TimeoutError) as error:
        log.warning("logs_left_to_the_sweep", generations=len(closed), error=type(error).__name__)


async def _end_all(
    cancel_signals: CancelSignals,
    generations: Sequence[OpenGeneration],
    end: Callable[[OpenGeneration], Awaitable[None]],
) -> None:
    if not generations:
        return
    free = asyncio.Semaphore(AT_A_TIME)

    async def try_to_end(one: OpenGeneration) -> None:
        try:
            async with free:
                await end(one)
        except (CortexAIError, SQLAlchemyError, OSError) as error:
            log.warning("end_left_to_the_sweep", generation_id=str(one.id), error=type(error).__name__)

    async def tell_workers() -> None:
        try:
            await cancel_signals.send([one.id for one in generations])
        except CortexAIError as error:
            log.warning("stop_not_told", error=error.code)

    try:
        # The group waits for all of its tasks, cancelled ones too, so none goes on after the request is answered.
        async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as tasks:
            for work in (tell_workers(), *(try_to_end(one) for one in generations)):
                tasks.create_task(work)
    except TimeoutError:
        log.warning("end_left_to_the_sweep", generations=len(generations), error="TimeoutError")
