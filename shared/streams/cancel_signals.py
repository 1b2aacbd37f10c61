"""Signals that tell workers at once that a request ended a generation.

A lost signal does no harm: the heartbeat and the log's fence stop the worker too.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.errors import StreamsUnavailable
from shared.ids import GenerationId
from shared.streams.port import UNPREFIXED
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

CHANNEL: Final = "cortexai:stops"
LISTEN_SECONDS: Final = 60.0
RETRY_AFTER: Final = 0.5
MAX_IDS: Final = 10_000
"""The most ids of a signal that are read."""


class CancelSignals:
    """One channel for all workers: cancellations are few, and nobody needs to know which worker has a generation.

    Under several prefixes there are several channels. A signal that comes on each of them does no harm.
    """

    def __init__(self, redis: Redis, prefixes: Sequence[str] = UNPREFIXED) -> None:
        self._redis = redis
        self._channels = [f"{prefix}{CHANNEL}" for prefix in prefixes]

    async def send(self, generation_ids: Sequence[GenerationId]) -> None:
        """Signal every worker to stop these generations.

        Raises:
            StreamsUnavailable: the signal was not sent.

        """
        try:
            for channel in self._channels:
                await self._redis.publish(channel, " ".join(str(generation_id) for generation_id in generation_ids))
        except (RedisError, OSError) as error:
            raise StreamsUnavailable from error

    async def listen(self) -> AsyncGenerator[GenerationId, None]:
        """Yield each generation that is to stop, for ever. Signals that are sent while Redis is away are lost."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(*self._channels)
                    while True:
                        message = await pubsub.get_message(timeout=LISTEN_SECONDS)
                        for generation_id in _read(message["data"]) if message else ():
                            yield generation_id
            except (RedisError, OSError) as error:
                log.warning("cancel_signals_connection_lost", error=type(error).__name__)
            await asyncio.sleep(RETRY_AFTER)


def _read(signal: bytes) -> list[GenerationId]:
    """The generations that a signal names. What is no id is left out: anybody on this Redis may publish."""
    found = []
    for word in signal.split()[:MAX_IDS]:
        with suppress(ValueError):
            found.append(GenerationId(UUID(word.decode())))
    return found
