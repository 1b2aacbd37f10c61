"""The feed's publisher: it makes nobody wait, keeps the order, and is bounded."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from shared.errors import StreamsUnavailable
from shared.ids import ChatId, UserId
from shared.protocol.encoding import decode
from shared.protocol.feed_events import ACCOUNT_DELETED, FeedEvent, memory_changed
from shared.streams.feed import publisher
from shared.streams.feed.in_memory import InMemoryFeeds
from shared.streams.feed.port import FeedAppend
from shared.streams.feed.publisher import MAX_EVENTS, MAX_USERS, FeedPublisher, open_feed_publisher
from shared.telemetry.metrics import NullMetrics

ANN, BOB = UserId(1), UserId(2)


@dataclass
class AwayWriter:
    """A writer whose server is away until `back` is set. `tries` counts what it was asked."""

    feeds: InMemoryFeeds = field(default_factory=InMemoryFeeds)
    back: asyncio.Event = field(default_factory=asyncio.Event)
    tried: asyncio.Event = field(default_factory=asyncio.Event)

    async def append(self, appends: Sequence[FeedAppend]) -> None:
        self.tried.set()
        if not self.back.is_set():
            raise StreamsUnavailable
        await self.feeds.append(appends)


@dataclass
class Counted(NullMetrics):
    """Counts what is lost."""

    lost: int = 0

    def feed_events_lost(self, count: int) -> None:
        self.lost += count


async def chats_told(feeds: InMemoryFeeds, user: UserId) -> list[object]:
    """The chats whose memory changed, or the types of other events."""
    first = feeds.first(user)
    entries = [] if first is None else [first, *(await feeds.replay(user, first.offset) or [])]
    parts: list[dict[str, object]] = [dict(decode(entry.frame)) for entry in entries]
    return [part.get("chat_id", part["type"]) for part in parts]


async def test_what_is_told_is_in_the_feed_in_its_order() -> None:
    feeds = InMemoryFeeds()
    async with open_feed_publisher(feeds, NullMetrics()) as feed:
        for number in range(1, 31):
            feed.tell(ANN, memory_changed(ChatId(number)))
            feed.tell(BOB, memory_changed(ChatId(-number)))
        assert await feed.flush(5)
        assert await chats_told(feeds, ANN) == list(range(1, 31))
        assert await chats_told(feeds, BOB) == list(range(-1, -31, -1))


async def test_what_is_told_while_the_server_is_away_comes_when_it_is_back_each_once() -> None:
    writer = AwayWriter()
    async with open_feed_publisher(writer, NullMetrics()) as feed:
        feed.tell(ANN, memory_changed(ChatId(1)))
        await writer.tried.wait()
        feed.tell(ANN, memory_changed(ChatId(2)))
        assert not await feed.flush(0.01)
        writer.back.set()
        assert await feed.flush(5)
        assert await chats_told(writer.feeds, ANN) == [1, 2]


async def test_too_many_events_of_a_user_become_one_resync() -> None:
    writer = AwayWriter()
    async with open_feed_publisher(writer, NullMetrics()) as feed:
        for number in range(1, MAX_EVENTS + 2):
            feed.tell(ANN, memory_changed(ChatId(number)))
        feed.tell(ANN, memory_changed(ChatId(1000)))
        feed.tell(BOB, memory_changed(ChatId(7)))
        writer.back.set()
        assert await feed.flush(5)
    assert await chats_told(writer.feeds, ANN) == ["resync", 1000]
    assert await chats_told(writer.feeds, BOB) == [7]


async def test_nothing_is_told_after_the_account_is_gone() -> None:
    writer = AwayWriter()
    async with open_feed_publisher(writer, NullMetrics()) as feed:
        feed.tell(ANN, memory_changed(ChatId(1)), ACCOUNT_DELETED, memory_changed(ChatId(2)))
        writer.back.set()
        assert await feed.flush(5)
    assert await chats_told(writer.feeds, ANN) == ["account.deleted"]


async def test_events_of_too_many_users_are_lost_and_counted() -> None:
    metrics = Counted()
    feed = FeedPublisher(AwayWriter(), metrics)
    for user in range(MAX_USERS):
        feed.tell(UserId(user), memory_changed(None))
    feed.tell(UserId(0), memory_changed(None))
    assert metrics.lost == 0
    feed.tell(UserId(MAX_USERS), memory_changed(None), memory_changed(None))
    assert metrics.lost == 2


async def test_at_its_end_it_sends_what_it_has() -> None:
    feeds = InMemoryFeeds()
    async with open_feed_publisher(feeds, NullMetrics()) as feed:
        feed.tell(ANN, memory_changed(ChatId(1)))
    assert await chats_told(feeds, ANN) == [1]


async def test_its_end_does_not_wait_long_for_a_server_that_is_away() -> None:
    clock = asyncio.get_running_loop().time
    async with open_feed_publisher(AwayWriter(), NullMetrics()) as feed:
        feed.tell(ANN, memory_changed(ChatId(1)))
        ends_at = clock()
    assert clock() - ends_at < publisher.DRAIN_WITHIN + 1


@dataclass
class SlowWriter:
    """A writer that appends once it is `free`."""

    feeds: InMemoryFeeds = field(default_factory=InMemoryFeeds)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def append(self, appends: Sequence[FeedAppend]) -> None:
        self.asked.set()
        await self.free.wait()
        await self.feeds.append(appends)


async def test_what_is_told_during_an_append_comes_after_it_also_when_it_became_a_resync() -> None:
    writer = SlowWriter()
    async with open_feed_publisher(writer, NullMetrics()) as feed:
        feed.tell(ANN, memory_changed(ChatId(1)))
        feed.tell(BOB, memory_changed(ChatId(1)))
        await writer.asked.wait()
        feed.tell(BOB, memory_changed(ChatId(2)))
        for number in range(MAX_EVENTS + 1):
            feed.tell(ANN, memory_changed(ChatId(number)))
        writer.free.set()
        assert await feed.flush(5)
        assert await chats_told(writer.feeds, ANN) == [1, "resync"]
        assert await chats_told(writer.feeds, BOB) == [1, 2]


async def test_a_resync_that_is_told_while_another_one_is_appended_comes_too() -> None:
    writer = SlowWriter()
    async with open_feed_publisher(writer, NullMetrics()) as feed:
        for _ in range(2):
            for number in range(MAX_EVENTS + 1):
                feed.tell(ANN, memory_changed(ChatId(number)))
            await writer.asked.wait()
        writer.free.set()
        assert await feed.flush(5)
        assert await chats_told(writer.feeds, ANN) == ["resync", "resync"]


@dataclass
class FailingWriter(SlowWriter):
    """A writer whose first append fails once it is `free`."""

    has_failed: bool = False

    async def append(self, appends: Sequence[FeedAppend]) -> None:
        self.asked.set()
        await self.free.wait()
        if not self.has_failed:
            self.has_failed = True
            raise StreamsUnavailable
        await self.feeds.append(appends)


@pytest.mark.parametrize(
    ("meanwhile", "told"),
    [
        ([memory_changed(ChatId(2))], [1, 2]),
        ([memory_changed(ChatId(2))] * MAX_EVENTS, ["resync"]),
        ([*[memory_changed(ChatId(2))] * (MAX_EVENTS - 1), ACCOUNT_DELETED], ["account.deleted"]),
    ],
    ids=["few", "many", "many and the last"],
)
async def test_what_was_told_during_an_append_that_fails_comes_after_what_was_appended(
    meanwhile: Sequence[FeedEvent], told: Sequence[object]
) -> None:
    writer = FailingWriter()
    async with open_feed_publisher(writer, NullMetrics()) as feed:
        feed.tell(ANN, memory_changed(ChatId(1)))
        await writer.asked.wait()
        feed.tell(ANN, *meanwhile)
        writer.free.set()
        assert await feed.flush(5)
    assert await chats_told(writer.feeds, ANN) == told
