"""Jobs that are sent under the prefix before, while REDIS_PREFIX changes: they are moved to where workers take jobs now.

A job moves in one step of Redis, so no death loses or doubles it. Workers from before the change may take it first.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from redis.exceptions import RedisError

from shared.background import run_together
from shared.streams.redis import connect
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

WAIT_SECONDS: Final = 2
"""How long Redis waits for a job. Shorter than the time after which the client takes a silent server for gone."""
RETRY_AFTER: Final = 0.5


async def move_jobs(broker_url: str, queues: Sequence[str], *, before: str, prefix: str) -> None:
    """Move the jobs of these queues from one prefix to another, for ever."""
    redis = connect(broker_url, connections=len(queues))

    async def move(queue: str) -> None:
        while True:
            try:
                # From the queue's end, where the workers take, to its beginning, where jobs are sent to.
                await redis.blmove(f"{before}{queue}", f"{prefix}{queue}", WAIT_SECONDS, "RIGHT", "LEFT")
            except (RedisError, OSError) as error:
                log.warning("jobs_not_moved", queue=queue, error=type(error).__name__)
                await asyncio.sleep(RETRY_AFTER)

    try:
        await run_together(*map(move, queues))
    finally:
        await redis.aclose()
