"""What every adapter of the feed promises: the contract of shared/streams/feed/port.py."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from shared.ids import UserId
from shared.protocol.encoding import encode
from shared.protocol.feed_events import ACCOUNT_DELETED, READY
from shared.streams.feed.in_memory import InMemoryFeeds
from shared.streams.feed.port import FeedAppend, FeedReader, FeedWriter
from shared.streams.feed.redis import RedisFeedWriter
from shared.streams.port import Entry, Offset
from shared.streams.redis import connect, open_streams
from tests.contract.conftest import PREFIXES

SECONDS = 10
KEPT = 20
_users = count(1)


@dataclass(frozen=True)
class Feeds:
    """A writer, and a reader in what could be another process."""

    writer: FeedWriter
    reader: FeedReader

    async def write(self, user: UserId, *frames: bytes, is_last: bool = False) -> None:
        await self.writer.append([FeedAppend(user, frames, is_last)])

    async def frames_after(self, user: UserId, after: Offset, limit: int = 500) -> list[bytes] | None:
        entries = await self.reader.replay(user, after, limit=limit)
        return None if entries is None else [entry.frame for entry in entries]


@asynccontextmanager
async def open_feeds(kind: str, url: str, keep_alive: float = 15) -> AsyncIterator[Feeds]:
    if kind == "memory":
        feeds = InMemoryFeeds(kept=KEPT, keep_alive=keep_alive)
        yield Feeds(feeds, feeds)
        return
    prefixes = PREFIXES[kind]
    async with open_streams(url, ttl=60, keep_alive=keep_alive, prefixes=prefixes) as streams, connect(url) as redis:
        yield Feeds(RedisFeedWriter(redis, kept=KEPT, ttl=60, prefixes=prefixes), streams.feed_reader)


@pytest.fixture(params=["memory", *PREFIXES])
def kind(request: pytest.FixtureRequest) -> str:
    """The adapter under test."""
    return str(request.param)


@pytest.fixture
async def feeds(kind: str, valkey: EmbeddedValkey) -> AsyncIterator[Feeds]:
    async with open_feeds(kind, valkey.url) as opened:
        yield opened


@pytest.fixture
def user() -> UserId:
    """A user without a feed."""
    return UserId(10**9 + next(_users))


async def test_a_feed_without_entries_begins_with_ready(feeds: Feeds, user: UserId) -> None:
    begun = await feeds.reader.begin(user)
    assert begun.sequence == 1
    assert await feeds.reader.begin(user) == begun
    assert await feeds.frames_after(user, begun) == []


async def test_who_begins_at_a_feed_gets_what_comes_after(feeds: Feeds, user: UserId) -> None:
    await feeds.write(user, b"a", b"b")
    begun = await feeds.reader.begin(user)
    await feeds.write(user, b"c", b"d")
    assert await feeds.frames_after(user, begun) == [b"c", b"d"]
    assert await feeds.frames_after(user, begun, limit=1) == [b"c"]


async def test_sequences_have_no_gaps_and_times_do_not_go_back(feeds: Feeds, user: UserId) -> None:
    begun = await feeds.reader.begin(user)
    for number in range(5):
        await feeds.write(user, b"%d" % number, b"again")
    entries = await feeds.reader.replay(user, begun)
    assert entries is not None
    assert [entry.offset.sequence for entry in entries] == list(range(2, 12))
    times = [entry.offset.attempt for entry in entries]
    assert times == sorted(times)
    assert times[0] > 10**12  # milliseconds of this century


async def test_the_oldest_entries_go_and_who_had_them_is_told_so(feeds: Feeds, user: UserId) -> None:
    begun = await feeds.reader.begin(user)
    await feeds.write(user, b"0")
    (first,) = await feeds.reader.replay(user, begun) or []
    await feeds.write(user, *(b"%d" % number for number in range(1, KEPT)))
    assert await feeds.frames_after(user, begun) is None
    assert await feeds.frames_after(user, first.offset) == [b"%d" % number for number in range(1, KEPT)]
    await feeds.write(user, b"one more")
    assert await feeds.frames_after(user, first.offset) is None


@pytest.mark.parametrize("sequence", [2, 3, 10**9])
async def test_an_offset_that_the_feed_never_had_is_not_known(feeds: Feeds, user: UserId, sequence: int) -> None:
    assert await feeds.frames_after(user, Offset(1, 1)) is None
    begun = await feeds.reader.begin(user)
    await feeds.write(user, b"a")
    assert await feeds.frames_after(user, Offset(begun.attempt - 1, sequence)) is None


async def test_an_offset_of_another_users_feed_is_not_known(feeds: Feeds, user: UserId) -> None:
    other = UserId(user + 10**9)
    mine, theirs = await feeds.reader.begin(user), await feeds.reader.begin(other)
    await feeds.write(other, b"x")
    (entry,) = await feeds.reader.replay(other, theirs) or []
    assert await feeds.frames_after(user, entry.offset) is None
    assert await feeds.frames_after(user, mine) == []


async def test_after_the_last_entry_a_feed_keeps_nothing_else(feeds: Feeds, user: UserId) -> None:
    begun = await feeds.reader.begin(user)
    async with feeds.reader.follow(user) as subscription:
        await feeds.write(user, b"title", b"end", is_last=True)
        notification = await subscription.wait()
        while len(notification.entries) < 2:
            notification = notification._replace(entries=notification.entries + (await subscription.wait()).entries)
    assert [entry.frame for entry in notification.entries] == [b"title", b"end"]
    assert await feeds.frames_after(user, begun) is None
    assert await feeds.reader.begin(user) == notification.entries[-1].offset


async def test_nothing_comes_after_the_end_of_an_account(feeds: Feeds, user: UserId) -> None:
    await feeds.write(user, b"title", encode(ACCOUNT_DELETED), is_last=True)
    end = await feeds.reader.begin(user)
    await feeds.write(user, b"late")
    await feeds.write(user, b"later", encode(ACCOUNT_DELETED), is_last=True)
    assert await feeds.reader.begin(user) == end
    assert await feeds.frames_after(user, end) == []


async def test_subscribers_get_what_comes_each_once_and_only_their_own(feeds: Feeds, user: UserId) -> None:
    async with feeds.reader.follow(user) as one, feeds.reader.follow(user) as two:
        await feeds.writer.append(
            [FeedAppend(UserId(user + 10**9), (b"other",)), FeedAppend(user, (b"a", b"b")), FeedAppend(user, (b"c",))]
        )
        for subscription in (one, two):
            entries = list[Entry]()
            async with asyncio.timeout(SECONDS):
                while len(entries) < 3:
                    notification = await subscription.wait()
                    assert not notification.missed
                    entries += notification.entries
            assert [(entry.offset.sequence, entry.frame) for entry in entries] == [(1, b"a"), (2, b"b"), (3, b"c")]


async def test_a_subscriber_that_takes_nothing_is_told_that_it_has_missed_something(feeds: Feeds, user: UserId) -> None:
    async with feeds.reader.follow(user) as subscription, asyncio.timeout(SECONDS):
        for _ in range(60):
            await feeds.write(user, *[b"x"] * 10)
        while not (await subscription.wait()).missed:
            pass


async def test_a_quiet_subscription_gets_an_empty_notification(kind: str, valkey: EmbeddedValkey, user: UserId) -> None:
    async with open_feeds(kind, valkey.url, keep_alive=0.1) as feeds, feeds.reader.follow(user) as subscription:
        async with asyncio.timeout(SECONDS):
            notification = await subscription.wait()
        assert (notification.entries, notification.missed) == ((), False)


async def test_the_event_that_begins_a_feed_is_ready(feeds: Feeds, user: UserId) -> None:
    async with feeds.reader.follow(user) as subscription:
        await feeds.reader.begin(user)
        async with asyncio.timeout(SECONDS):
            (entry,) = (await subscription.wait()).entries
    assert entry.frame == encode(READY)
