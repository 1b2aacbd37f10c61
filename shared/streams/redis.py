"""The stream log in Redis: one stream a generation for the log, one channel a generation for its subscribers.

All names begin with the deployment's prefix. While the prefix changes, there are two prefixes, and a log and a channel under
each: processes from before the change know one, processes from after it know the other (docs/protocol.md §4).
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from shared.errors import AppendRefused, AttemptSuperseded, LogClosed, LogDiverged, StreamsUnavailable
from shared.ids import GenerationId
from shared.streams.cancel_signals import CancelSignals
from shared.streams.entries import answered, entry_of, heads, offset_of
from shared.streams.feed.port import FeedReader
from shared.streams.feed.publisher import FeedPublisher, open_feed_publisher
from shared.streams.feed.redis import RedisFeedReader, RedisFeedWriter
from shared.streams.hub import CONTROL, Hub
from shared.streams.named import NamedConnection, NamedTLSConnection
from shared.streams.names import LogNames, channel, log_key, names_of
from shared.streams.port import BEGINNING, UNPREFIXED, Append, Entry, Offset, Subscription
from shared.streams.removal import Removal
from shared.streams.script import Call, Script
from shared.streams.subscriptions import Subscriptions
from shared.telemetry.metrics import Metrics, NullMetrics

APPEND: Final = (files("shared.streams") / "append.lua").read_text()


def connect(url: str, *, connections: int = 16) -> Redis:
    """A client for the stream logs, with at most so many connections, for which callers queue.

    Connects when first used; gives up on a silent server, or on waiting for a connection, after 5 seconds.
    """
    options: dict[str, Any] = {
        "timeout": 5,
        "protocol": 2,
        "max_connections": connections,
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
        **parse_url(url),
        "connection_class": NamedTLSConnection if urlsplit(url).scheme == "rediss" else NamedConnection,
    }
    return Redis.from_pool(BlockingConnectionPool(**options))


class RedisWriter:
    """Writer over Redis. `ttl` is how long a log lives after its last append, in seconds.

    Under several prefixes, the log that goes furthest holds, and each append brings the others up to it.
    """

    def __init__(self, redis: Redis, *, ttl: int, prefixes: Sequence[str] = UNPREFIXED) -> None:
        self._prefixes = prefixes
        self._ttl_ms = ttl * 1000
        self._script = Script(redis, APPEND)

    async def append(self, appends: Sequence[Append]) -> list[int | AppendRefused]:
        """Append to several logs in one pipeline (Writer)."""
        return [_verdict(reply) for reply in await self._script.run(map(self._call, appends))]

    def _call(self, append: Append) -> Call:
        names = names_of(append.generation_id, self._prefixes)
        arguments: list[int | bytes] = [
            append.attempt,
            -1 if append.after is None else append.after,
            self._ttl_ms,
            int(append.terminal),
            int(append.rewrites_opening),
            *append.frames,
        ]
        return Call(names.in_turns(), arguments)


def _verdict(reply: Any) -> int | AppendRefused:  # noqa: ANN401
    if isinstance(reply, Exception):
        raise StreamsUnavailable from reply
    verdict, sequence, owner = reply
    match verdict:
        case b"ok":
            return int(sequence)
        case b"superseded":
            return AttemptSuperseded()
        case b"closed":
            return LogClosed()
        case _:
            return LogDiverged(int(sequence), int(owner))


class RedisLog:
    """Log over Redis. Under several prefixes, a log has the entries that are under any of them."""

    def __init__(self, redis: Redis, prefixes: Sequence[str] = UNPREFIXED) -> None:
        self._redis = redis
        self._prefixes = prefixes

    async def replay(self, generation_id: GenerationId, after: Offset, *, limit: int = 500) -> list[Entry]:
        """The frames past an offset (Log)."""
        entries: list[Entry] = []
        past = str(after)
        while len(entries) < limit:
            found = await self._page(generation_id, past, limit)
            # A log that was lost and written again has its early sequences under a later attempt's ids.
            entries += [entry_of(*raw) for raw in found if offset_of(raw[0]).sequence > after.sequence]
            if len(found) < limit:
                break
            past = found[-1][0].decode()
        return entries[:limit]

    async def _page(self, generation_id: GenerationId, past: str, limit: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        pipeline = self._redis.pipeline(transaction=False)
        for prefix in self._prefixes:
            pipeline.xrange(log_key(generation_id, prefix), min=f"({past}", max="+", count=limit)
        pages = await answered(pipeline.execute())
        if len(pages) == 1:
            return list(pages[0])
        entries = {raw_id: fields for page in pages for raw_id, fields in page}
        return sorted(entries.items(), key=lambda entry: offset_of(entry[0]))[:limit]

    async def head(self, generation_id: GenerationId) -> Entry | None:
        """The log's last entry (Log)."""
        return (await heads(self._redis, [names_of(generation_id, self._prefixes)]))[0]


class RedisReader(RedisLog):
    """Reader over Redis. All readers of a process share one pub/sub connection, the hub's. `ttl` is as in RedisWriter."""

    def __init__(self, redis: Redis, hub: Hub, prefixes: Sequence[str] = UNPREFIXED, *, ttl: int) -> None:
        super().__init__(redis, prefixes)
        self._hub = hub
        self._ttl_ms = ttl * 1000

    async def keep(self, generation_id: GenerationId) -> None:
        """Keep a log (Reader)."""
        pipeline = self._redis.pipeline(transaction=False)
        for key in names_of(generation_id, self._prefixes).keys:
            pipeline.pexpire(key, self._ttl_ms, gt=True)
        await answered(pipeline.execute())

    def open_subscriptions(self) -> int:
        """How many readers follow a log now."""
        return self._hub.readers

    @asynccontextmanager
    async def follow(self, generation_id: GenerationId) -> AsyncIterator[Subscription]:
        """Subscribe (Reader)."""
        names = names_of(generation_id, self._prefixes)
        subscription = await self._hub.subscribe(names)
        try:
            yield subscription
        finally:
            await self._hub.unsubscribe(names, subscription)


class TransientFrames:
    """Frames for those who read a log at this moment; they are in no log. Anybody may send them, not only the log's writer."""

    def __init__(self, redis: Redis, prefixes: Sequence[str] = UNPREFIXED) -> None:
        self._redis = redis
        self._prefixes = prefixes

    async def send(self, generation_id: GenerationId, frame: bytes) -> None:
        """Send a frame to the log's current readers.

        Raises:
            StreamsUnavailable: the frame was not sent.

        """
        message = b"%b 0\n%b" % (str(BEGINNING).encode(), frame)
        # In one transaction: a hub on all of the channels knows copies by their coming one right after the other.
        pipeline = self._redis.pipeline(transaction=len(self._prefixes) > 1)
        for prefix in self._prefixes:
            pipeline.publish(channel(generation_id, prefix), message)
        await answered(pipeline.execute())


@dataclass(frozen=True, slots=True)
class Streams:
    """All that an API does with stream logs, and with the feeds of users."""

    reader: RedisReader
    writer: RedisWriter
    cancel_signals: CancelSignals
    feed: FeedPublisher
    feed_reader: FeedReader
    removal: Removal


@asynccontextmanager
async def open_streams(
    url: str,
    *,
    ttl: int,
    keep_alive: float = 15.0,
    prefixes: Sequence[str] = UNPREFIXED,
    feed_kept: int = 500,
    feed_ttl: int = 86_400,
    metrics: Metrics | None = None,
) -> AsyncIterator[Streams]:
    """The streams, with the reader's hub and the feed's publisher running.

    `ttl` is how long a log lives after its last append, `keep_alive` the interval of empty notifications; both are in seconds.
    `prefixes` are the deployment's: its own first. A feed keeps its newest `feed_kept` entries, for `feed_ttl` seconds after
    the last.
    """
    redis = connect(url)
    hub = Hub(
        connect=lambda: _pubsub_connection(redis),
        heads=partial(_last_offsets, redis),
        control=f"{prefixes[0]}{CONTROL}",
        subscriptions=Subscriptions(),
        keep_alive=keep_alive,
    )
    feeds = RedisFeedWriter(redis, kept=feed_kept, ttl=feed_ttl, prefixes=prefixes)
    try:
        async with hub, open_feed_publisher(feeds, metrics or NullMetrics()) as feed:
            yield Streams(
                RedisReader(redis, hub, prefixes, ttl=ttl),
                RedisWriter(redis, ttl=ttl, prefixes=prefixes),
                CancelSignals(redis, prefixes),
                feed,
                RedisFeedReader(redis, hub, feeds, prefixes),
                Removal(redis, prefixes, log_seconds=ttl),
            )
    finally:
        await redis.aclose()


def _pubsub_connection(redis: Redis) -> AbstractConnection:
    """A connection of the hub's own, outside the pool's count."""
    pool = redis.connection_pool
    # No health checks: their answer would be read where a message is expected. The hub looks at the logs instead.
    return pool.connection_class(**{**pool.connection_kwargs, "health_check_interval": 0})


async def _last_offsets(redis: Redis, logs: Sequence[LogNames]) -> list[Offset | None]:
    return [head and head.offset for head in await heads(redis, logs)]
