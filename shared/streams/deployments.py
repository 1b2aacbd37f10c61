"""Which deployments use a Redis under a prefix. Two would take each other's jobs, so each process leaves a note there."""

from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.errors import StreamsUnavailable

NOTE_EVERY: Final = 20.0
"""Seconds between two notes of a process."""
FRESH_SECONDS: Final = 60
"""For how long a note counts: some may be missed."""


def key(prefix: str) -> str:
    """The sorted set of the notes: the identities of databases, by the time of their last note in seconds."""
    return f"{prefix}cortexai:deployments"


async def note(redis: Redis, prefix: str, identity: str) -> set[str]:
    """Note that the deployment with this database is here. Returns the identities of the others that are.

    Raises:
        StreamsUnavailable: Redis does not answer, or refuses.

    """
    try:
        now, _ = await redis.time()
        pipeline = redis.pipeline()
        pipeline.zadd(key(prefix), {identity: now})
        pipeline.zremrangebyscore(key(prefix), "-inf", now - FRESH_SECONDS)
        pipeline.expire(key(prefix), FRESH_SECONDS)
        read(pipeline, prefix, now)
        return fresh((await pipeline.execute())[-1]) - {identity}
    except (RedisError, OSError) as error:
        raise StreamsUnavailable from error


def read(redis: Any, prefix: str, now: int) -> Any:  # noqa: ANN401 - a client or a pipeline, of asyncio or not
    """Ask for the notes that count. `now` is the server's time. `fresh` reads the answer."""
    return redis.zrangebyscore(key(prefix), now - FRESH_SECONDS, "+inf")


def fresh(answer: list[bytes]) -> set[str]:
    """The identities of an answer."""
    return {identity.decode() for identity in answer}
