"""What follows when a generation was ended by a request: its worker stops, its readers get the end.

The row is the truth and is terminal already; this is bounded in time and never raises. What does not succeed here, the
sweep, the heartbeat and the readers' own look at the row make up for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.api.resources import Resources
from shared.errors import CortexAIError
from shared.generations.cancel import OpenGeneration
from shared.generations.close_log import abandon_log, close_log
from shared.generations.outcome import Outcome
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

WITHIN: Final = 3.0
AT_A_TIME: Final = 8


async def end_cancelled(resources: Resources, cancelled: Sequence[OpenGeneration]) -> None:
    """Stop the workers of cancelled generations, close the logs, and send whose turn comes with that."""

    async def end(one: OpenGeneration) -> None:
        streams = resources.streams
        closed = await close_log(resources.database, streams.writer, streams.reader, one, Outcome.cancelled())
        if closed.due is not None:
            resources.jobs.generate(closed.due)

    await _end_all(resources, cancelled, end)


async def end_deleted(resources: Resources, deleted: Sequence[OpenGeneration]) -> None:
    """Stop the workers of generations whose rows are gone, and tell their readers."""

    async def end(one: OpenGeneration) -> None:
        await abandon_log(resources.streams.writer, resources.streams.reader, one.id, one.message_id, one.attempt)

    await _end_all(resources, deleted, end)


async def _end_all(
    resources: Resources, interrupted: Sequence[OpenGeneration], end: Callable[[OpenGeneration], Awaitable[None]]
) -> None:
    if not interrupted:
        return
    free = asyncio.Semaphore(AT_A_TIME)

    async def try_to_end(one: OpenGeneration) -> None:
        try:
            async with free:
                await end(one)
        except (CortexAIError, SQLAlchemyError, OSError) as error:
            log.warning("end_left_to_the_sweep", generation_id=str(one.id), error=type(error).__name__)

    async def tell() -> None:
        try:
            await resources.streams.cancel_signals.send([one.id for one in interrupted])
        except CortexAIError as error:
            log.warning("stop_not_told", error=error.code)

    try:
        # The group waits for all of its tasks, cancelled ones too: none goes on when the request is answered.
        async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as tasks:
            for work in (tell(), *(try_to_end(one) for one in interrupted)):
                tasks.create_task(work)
    except TimeoutError:
        log.warning("end_left_to_the_sweep", generations=len(interrupted), error="TimeoutError")
