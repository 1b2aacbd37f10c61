"""Removing from Redis what belongs to rows that are gone: the logs of generations, and the feeds of users.

The database is the authority: what has no row may go at any time, and nobody needs an answer to know so.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

from redis.asyncio import Redis

from shared.ids import GenerationId, UserId
from shared.streams.entries import answered
from shared.streams.feed.redis import feed_names
from shared.streams.names import LogNames, names_of
from shared.streams.port import UNPREFIXED

LAST_MS: Final = 60_000
"""How long the log of a generation is kept that was deleted while it was open, in milliseconds, as an ended feed is."""
PAGE: Final = 1000
"""How many names are handled in one round trip."""
AFTER_SECONDS: Final = 60
"""So long after a deletion is begun the sweep looks: it is over by then, and so is what others were writing meanwhile."""
KEPT_SECONDS: Final = 24 * 3600
"""How long notes are kept that no sweep looks at, since the last of them was made."""
NOTES: Final = "cortexai:deletions"
_One = TypeVar("_One")
_USER: Final = "user-"


class Deleted(NamedTuple):
    """Users and generations whose rows go, or are gone."""

    users: list[UserId]
    generations: list[GenerationId]


class Removal:
    """Deletes logs and feeds, or has them expire soon. `log_seconds`: how long a log lives by itself that is closed."""

    def __init__(self, redis: Redis, prefixes: Sequence[str] = UNPREFIXED, *, log_seconds: int) -> None:
        self._redis = redis
        self._prefixes = prefixes
        self._notes = [f"{prefix}{NOTES}" for prefix in prefixes]
        self.log_seconds = log_seconds

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

    async def note(self, deleted: Deleted) -> None:
        """Note, before a deletion is committed, what the sweep is to look at later, whatever becomes of this process.

        Raises:
            StreamsUnavailable: nothing is noted. Logs and feeds expire in their own time.

        """
        now, _ = await answered(self._redis.time())
        members = [f"{_USER}{each}" for each in deleted.users] + [str(each) for each in deleted.generations]
        pipeline = self._redis.pipeline(transaction=False)
        for some in _pages(members):
            pipeline.zadd(self._notes[0], dict.fromkeys(some, now))
        pipeline.expire(self._notes[0], KEPT_SECONDS)
        await answered(pipeline.execute())

    async def find_noted(self) -> Deleted:
        """What was noted longer ago than AFTER_SECONDS, at most PAGE of each prefix.

        Raises:
            StreamsUnavailable: nothing is known.

        """
        now, _ = await answered(self._redis.time())
        found = Deleted([], [])
        for name in self._notes:
            old = self._redis.zrangebyscore(name, "-inf", now - AFTER_SECONDS, start=0, num=PAGE)
            for member in await answered(old):
                _read(member.decode(errors="replace"), found)
        return found

    async def forget_noted(self, deleted: Deleted) -> None:
        """Forget notes.

        Raises:
            StreamsUnavailable: some may be found again.

        """
        members = [f"{_USER}{each}" for each in deleted.users] + [str(each) for each in deleted.generations]
        if members:
            for name in self._notes:
                await answered(self._redis.zrem(name, *members))


def _pages(ones: Iterable[_One]) -> Iterator[list[_One]]:
    """The same, PAGE at a time."""
    rest = iter(ones)
    while page := list(islice(rest, PAGE)):
        yield page


def _read(member: str, found: Deleted) -> None:
    """Add what a note names. What is no note is left out: anybody on this Redis may write there."""
    with suppress(ValueError):
        if member.startswith(_USER):
            found.users.append(UserId(int(member.removeprefix(_USER))))
        else:
            found.generations.append(GenerationId(UUID(member)))
