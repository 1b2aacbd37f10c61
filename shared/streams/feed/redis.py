"""Feeds in Redis: one stream a user for the entries, one channel a user for the subscribers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Final

from redis.asyncio import Redis

from shared.errors import StreamsUnavailable
from shared.ids import UserId
from shared.protocol.encoding import encode
from shared.protocol.feed_events import ACCOUNT_DELETED, READY
from shared.streams.entries import answered, entry_of, offset_of
from shared.streams.feed.port import FeedAppend
from shared.streams.hub import Hub
from shared.streams.names import LogNames
from shared.streams.port import UNPREFIXED, Entry, Offset, Subscription
from shared.streams.script import Call, Script

APPEND: Final = (files("shared.streams.feed") / "append.lua").read_text()
LAST_MS: Final = 60_000
"""How long the last entry of a feed that has ended is kept, in milliseconds."""
_LAST: Final = encode(ACCOUNT_DELETED)


def feed_names(user_id: UserId, prefixes: Sequence[str]) -> LogNames:
    """What a user's feed is called. The braces keep the names in one slot of a Redis Cluster, as a generation's are."""
    return LogNames(
        tuple(f"{prefix}cortexai:{{user-{user_id}}}:feed" for prefix in prefixes),
        tuple(f"{prefix}cortexai:{{user-{user_id}}}:events" for prefix in prefixes),
        is_brief=False,
    )


class RedisFeedWriter:
    """FeedWriter over Redis. A feed keeps its newest `kept` entries, until `ttl` seconds after the last append."""

    def __init__(self, redis: Redis, *, kept: int, ttl: int, prefixes: Sequence[str] = UNPREFIXED) -> None:
        self._script = Script(redis, APPEND)
        self._kept = kept
        self._ttl_ms = ttl * 1000
        self._prefixes = prefixes

    async def append(self, appends: Sequence[FeedAppend]) -> None:
        """Append to several feeds in one pipeline (FeedWriter)."""
        replies = await self._script.run(
            self._call(append.user_id, append.frames, is_last=append.is_last) for append in appends
        )
        for reply in replies:
            if isinstance(reply, Exception):
                raise StreamsUnavailable from reply

    async def begin(self, user_id: UserId) -> Offset:
        """Append `ready` to a feed that has no entries. Returns the last entry's offset.

        Raises:
            StreamsUnavailable: nothing is known.

        """
        (reply,) = await self._script.run([self._call(user_id, (encode(READY),), only_begins=True)])
        if isinstance(reply, Exception):
            raise StreamsUnavailable from reply
        return offset_of(reply)

    def _call(
        self, user_id: UserId, frames: Sequence[bytes], *, is_last: bool = False, only_begins: bool = False
    ) -> Call:
        kept, ttl_ms = (1, LAST_MS) if is_last else (self._kept, self._ttl_ms)
        return Call(feed_names(user_id, self._prefixes).in_turns(), [kept, ttl_ms, int(only_begins), _LAST, *frames])


class RedisFeedReader:
    """FeedReader over Redis. The hub is that of the process's other readers."""

    def __init__(self, redis: Redis, hub: Hub, writer: RedisFeedWriter, prefixes: Sequence[str] = UNPREFIXED) -> None:
        self._redis = redis
        self._hub = hub
        self._writer = writer
        self._prefixes = prefixes

    async def begin(self, user_id: UserId) -> Offset:
        """The feed's last offset (FeedReader)."""
        return await self._writer.begin(user_id)

    async def replay(self, user_id: UserId, after: Offset, *, limit: int = 500) -> list[Entry] | None:
        """The entries past an entry (FeedReader)."""
        pipeline = self._redis.pipeline(transaction=False)
        for key in feed_names(user_id, self._prefixes).keys:
            pipeline.xrange(key, min=str(after), max="+", count=limit + 1)
        pages = [[entry_of(*raw) for raw in page] for page in await answered(pipeline.execute())]
        # Under several prefixes, one of the feeds may be behind, or be an old one that does not have the entry.
        entries = {entry.offset: entry for page in pages if page and page[0].offset == after for entry in page}
        if not entries:
            return None
        return [entries[offset] for offset in sorted(entries)[1 : limit + 1]]

    @asynccontextmanager
    async def follow(self, user_id: UserId) -> AsyncIterator[Subscription]:
        """Subscribe (FeedReader)."""
        names = feed_names(user_id, self._prefixes)
        subscription = await self._hub.subscribe(names)
        try:
            yield subscription
        finally:
            await self._hub.unsubscribe(names, subscription)
