"""Following a feed: nothing is missed, doubled or reordered without the reader being told."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from services.api.feed.follow import PAGE, Began, Told, follow
from shared.ids import UserId
from shared.streams.feed.in_memory import InMemoryFeeds
from shared.streams.feed.port import FeedAppend
from shared.streams.port import Offset, Subscription
from shared.streams.subscriptions import QueueSubscription

USER = UserId(1)
KEPT = 5


class Reader:
    """Reads a feed of numbers. `runs` are the numbers between two resyncs; `reached` is where it stands."""

    def __init__(self, feeds: InMemoryFeeds, after: Offset | None = None) -> None:
        self.runs: list[list[int]] = [[]]
        self.reached = after
        self._feeds = feeds
        self.moved = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    @property
    def last(self) -> int:
        return self.runs[-1][-1] if self.runs[-1] else 0

    async def _read(self) -> None:
        events = follow(self._feeds, USER, self.reached, begins_anew=self.reached is None)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Told):
                    self.runs[-1] += [int(entry.frame) for entry in event.entries if entry.frame.isdigit()]
                    self.reached = event.entries[-1].offset
                elif isinstance(event, Began):
                    self.reached = event.offset
                    self.runs += [[]] if event.is_resync else []
                self.moved.set()

    async def stop(self) -> None:
        self.reading.cancel()
        await asyncio.wait([self.reading])


async def do_anything(chance: random.Random, feeds: InMemoryFeeds, told: int) -> int:
    """Append some numbers, or lose the feed, or give others a turn. Returns the last number that was appended."""
    match chance.randrange(6):
        case 0:
            feeds.lose(USER)
        case 1:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        case 2:  # more than are kept, and more than a subscription keeps
            numbers = range(told + 1, told + chance.choice([2, KEPT + 3, 600]))
            await feeds.append([FeedAppend(USER, tuple(b"%d" % number for number in numbers))])
            return numbers[-1]
        case _:
            await feeds.append([FeedAppend(USER, (b"%d" % (told + 1),))])
            return told + 1
    return told


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_happens_to_a_feed_a_reader_has_all_numbers_or_is_told_to_look_again(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    feeds = InMemoryFeeds(kept=KEPT)
    reader, readers, told = Reader(feeds), list[Reader](), 0
    readers.append(reader)
    await reader.moved.wait()
    for _ in range(60):
        told = await do_anything(chance, feeds, told)
        if chance.random() < 0.1:  # it is cut, and comes again
            await reader.stop()
            reader = Reader(feeds, reader.reached)
            reader.runs = [[readers[-1].last] if readers[-1].last else []]
            readers.append(reader)
    async with asyncio.timeout(10):
        while reader.last != told:  # after a resync, the next one is told
            told += 1
            await feeds.append([FeedAppend(USER, (b"%d" % told,))])
            reader.moved.clear()
            await reader.moved.wait()
    await reader.stop()
    for run in [run for one in readers for run in one.runs if run]:
        assert run == list(range(run[0], run[0] + len(run)))


async def test_a_reader_that_was_away_for_long_gets_more_than_a_page() -> None:
    feeds = InMemoryFeeds(kept=3 * PAGE)
    after = await feeds.begin(USER)
    await feeds.append([FeedAppend(USER, tuple(b"%d" % number for number in range(1, 2 * PAGE + 101)))])
    reader = Reader(feeds, after)
    async with asyncio.timeout(10):
        while reader.last != 2 * PAGE + 100:
            reader.moved.clear()
            await reader.moved.wait()
    await reader.stop()
    assert reader.runs == [list(range(1, 2 * PAGE + 101))]


class ReplacedFeed(InMemoryFeeds):
    """A feed whose server crashes and loses the newest entry. Another one takes its place while nobody is subscribed."""

    @asynccontextmanager
    async def follow(self, user_id: UserId) -> AsyncIterator[Subscription]:
        async with super().follow(user_id) as subscription:
            assert isinstance(subscription, QueueSubscription)
            self.subscription = subscription
            yield subscription

    async def crash(self, instead: bytes) -> None:
        """Lose the newest entry, have the reader told that it may have missed some, and append."""
        del self._feeds[USER][-1]
        await self.append([FeedAppend(USER, (instead,))])
        self.subscription.miss()


async def test_an_entry_in_the_place_of_a_lost_one_is_not_taken_for_it() -> None:
    feeds = ReplacedFeed()
    reader = Reader(feeds)
    await reader.moved.wait()
    await feeds.append([FeedAppend(USER, (b"1",))])
    async with asyncio.timeout(10):
        while reader.last != 1:
            reader.moved.clear()
            await reader.moved.wait()
        await feeds.crash(b"2")
        await feeds.append([FeedAppend(USER, (b"3",))])
        while len(reader.runs) == 1:
            reader.moved.clear()
            await reader.moved.wait()
    await reader.stop()
    assert reader.runs == [[1], []]
