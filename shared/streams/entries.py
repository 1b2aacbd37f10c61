"""Entries of logs as Redis has them. The append scripts wrote them."""

from collections.abc import Awaitable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.errors import StreamsUnavailable
from shared.streams.names import LogNames
from shared.streams.port import Entry, Offset


async def answered(command: Awaitable[Any]) -> Any:  # noqa: ANN401
    """What Redis answers.

    Raises:
        StreamsUnavailable: Redis does not answer, or refuses.

    """
    try:
        return await command
    except (RedisError, OSError) as error:
        raise StreamsUnavailable from error


def offset_of(raw_id: bytes) -> Offset:
    """The offset that an entry's id stands for."""
    attempt, _, sequence = raw_id.partition(b"-")
    return Offset(int(attempt), int(sequence))


def entry_of(raw_id: bytes, fields: dict[bytes, bytes]) -> Entry:
    """The log entry that an append script wrote.

    Raises:
        StreamsUnavailable: another has written it.

    """
    if b"frame" not in fields:
        raise StreamsUnavailable("The log has an entry that no append script wrote.")
    subscribers = fields.get(b"terminal")  # how many there were when the terminal frame was published
    return Entry(offset_of(raw_id), fields[b"frame"], subscribers is not None, subscribers != b"0")


async def heads(redis: Redis, logs: Sequence[LogNames]) -> list[Entry | None]:
    """The last entry of each log, or None for a log that is not there, or that no append script wrote.

    Raises:
        StreamsUnavailable: Redis does not answer.

    """
    pipeline = redis.pipeline(transaction=False)
    for names in logs:
        for key in names.keys:
            pipeline.xrevrange(key, count=1)
    replies = iter(await answered(pipeline.execute(raise_on_error=False)))
    found: list[Entry | None] = []
    for names in logs:
        entries = [entry for entry in (_last(next(replies)) for _ in names.keys) if entry]
        found.append(max(entries, key=lambda entry: entry.offset) if entries else None)
    return found


def _last(reply: Any) -> Entry | None:  # noqa: ANN401
    """The entry of a reply that has one. Where something else than a log has its name, that is no matter of the others."""
    if isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE"):
        return None
    if isinstance(reply, Exception):
        raise StreamsUnavailable from reply
    if not reply or b"frame" not in reply[0][1]:
        return None
    return entry_of(*reply[0])
