"""Removing from Redis what belongs to rows that are gone: the logs of generations, and the feeds of users.

The database is the authority: what has no row may go at any time, and nobody needs an answer to know so.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.errors import StreamsUnavailable
from shared.ids import GenerationId, UserId
from shared.streams import deployments
from shared.streams.entries import answered
from shared.streams.feed.redis import feed_names
from shared.streams.names import LogNames, names_of
from shared.streams.port import UNPREFIXED

LAST_MS: Final = 60_000
"""How long the log of a generation is kept that was deleted while it was open, in milliseconds, as an ended feed is."""
PAGE: Final = 1000
"""How many names are handled in one round trip."""
_One = TypeVar("_One")
_FEED: Final = "feed"
_USER: Final = "user-"


class FoundNames(NamedTuple):
    """Whose logs and feeds were found."""

    generations: list[GenerationId]
    users: list[UserId]


class Removal:
    """Deletes logs and feeds, or has them expire soon."""

    def __init__(self, redis: Redis, prefixes: Sequence[str] = UNPREFIXED) -> None:
        self._redis = redis
        self._prefixes = prefixes

    async def delete_logs(self, generation_ids: Iterable[GenerationId]) -> None:
        """Delete logs that nobody writes any more.

        Raises:
            StreamsUnavailable: some may still be there.

        """
        for some in _pages(generation_ids):
            pipeline = self._redis.pipeline(transaction=False)
            for one in some:
                # A call for each: in a Redis Cluster, a command's keys share a slot.
                pipeline.delete(*names_of(one, self._prefixes).keys)
            await answered(pipeline.execute())

    async def expire_logs(self, generation_ids: Iterable[GenerationId]) -> None:
        """Have logs expire within LAST_MS. A log that is absent, or expires earlier, stays so.

        Raises:
            StreamsUnavailable: some may last longer.

        """
        await self._expire(names_of(one, self._prefixes) for one in generation_ids)

    async def expire_feeds(self, user_ids: Iterable[UserId]) -> None:
        """Have feeds expire within LAST_MS, likewise.

        Raises:
            StreamsUnavailable: some may last longer.

        """
        await self._expire(feed_names(one, self._prefixes) for one in user_ids)

    async def _expire(self, names: Iterable[LogNames]) -> None:
        for some in _pages(names):
            pipeline = self._redis.pipeline(transaction=False)
            for each in some:
                for key in each.keys:
                    pipeline.pexpire(key, LAST_MS, lt=True)
            await answered(pipeline.execute())

    async def is_shared(self, identity: str) -> bool:
        """Whether a deployment with another database than this one uses the same names.

        Raises:
            StreamsUnavailable: nothing is known.

        """
        return any([await deployments.note(self._redis, prefix, identity) for prefix in self._prefixes])

    async def find(self) -> AsyncIterator[FoundNames]:
        """The logs and feeds of this deployment, a page at a time. Some may be found twice.

        Raises:
            StreamsUnavailable: there may be more.

        """
        for prefix in self._prefixes:
            begin = f"{prefix}cortexai:{{"
            cursor = None
            while cursor != 0:
                try:
                    cursor, keys = await self._redis.scan(cursor or 0, match=f"{begin}*", count=PAGE)
                except (RedisError, OSError) as error:
                    raise StreamsUnavailable from error
                yield _read(str(key, "utf-8", "replace").removeprefix(begin) for key in keys if isinstance(key, bytes))


def _pages(ones: Iterable[_One]) -> Iterator[list[_One]]:
    """The same, PAGE at a time."""
    rest = iter(ones)
    while page := list(islice(rest, PAGE)):
        yield page


def _read(names: Iterable[str]) -> FoundNames:
    """Whose names these are: `<generation>}:log` and `user-<user>}:feed`. Others are nobody's."""
    found = FoundNames([], [])
    for name in names:
        whose, _, what = name.partition("}:")
        try:
            if what == "log":
                found.generations.append(GenerationId(UUID(whose)))
            elif what == _FEED and whose.startswith(_USER):
                found.users.append(UserId(int(whose.removeprefix(_USER))))
        except ValueError:
            continue
    return found
