"""Telling workers at once that a generation was ended from outside. A hint: the heartbeat and the log's fence tell them too."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.errors import StreamsUnavailable
from shared.ids import GenerationId
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

CHANNEL: Final = "cortexai:stops"
LISTEN_SECONDS: Final = 60.0
RETRY_AFTER: Final = 0.5


class CancelSignals:
    """One channel for all workers: stops are few, and nobody needs to know who holds a generation."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def tell(self, generation_ids: Sequence[GenerationId]) -> None:
        """Tell every worker.

        Raises:
            StreamsUnavailable: not told.

        """
        try:
            await self._redis.publish(CHANNEL, " ".join(str(generation_id) for generation_id in generation_ids))
        except (RedisError, OSError) as error:
            raise StreamsUnavailable from error

    async def hear(self) -> AsyncGenerator[GenerationId, None]:
        """Each generation that is told to stop, for ever. What is told while Redis is away is not received."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(CHANNEL)
                    while True:
                        message = await pubsub.get_message(timeout=LISTEN_SECONDS)
                        for told in message["data"].split() if message else ():
                            yield GenerationId(UUID(told.decode()))
            except (RedisError, OSError, ValueError) as error:
                log.warning("stops_connection_lost", error=type(error).__name__)
            await asyncio.sleep(RETRY_AFTER)
