"""What only a server can do to a feed: forget, expire; and a feed while its deployment's prefix changes."""

from collections.abc import AsyncIterator
from itertools import count

import pytest
from redis.asyncio import Redis

from services.launcher.embedded.valkey import EmbeddedValkey
from shared.errors import StreamsUnavailable
from shared.ids import UserId
from shared.protocol.encoding import encode
from shared.protocol.feed_events import ACCOUNT_DELETED
from shared.streams.feed.port import FeedAppend
from shared.streams.feed.redis import RedisFeedReader, RedisFeedWriter, feed_names
from shared.streams.port import Offset
from shared.streams.redis import open_streams

BEFORE, IN, AFTER = ("",), ("new:", ""), ("new:",)
_users = count(2 * 10**9)


@pytest.fixture
def user() -> UserId:
    return UserId(next(_users))


@pytest.fixture
async def redis(valkey: EmbeddedValkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey.url) as opened:
        yield opened


def writer_of(redis: Redis, prefixes: tuple[str, ...], kept: int = 100) -> RedisFeedWriter:
    return RedisFeedWriter(redis, kept=kept, ttl=100, prefixes=prefixes)


async def read(valkey: EmbeddedValkey, prefixes: tuple[str, ...], user: UserId, after: Offset) -> list[bytes] | None:
    async with open_streams(valkey.url, ttl=60, prefixes=prefixes) as streams:
        entries = await streams.feed_reader.replay(user, after)
    return None if entries is None else [entry.frame for entry in entries]


async def test_a_feed_goes_on_under_both_prefixes_with_all_that_it_had(
    valkey: EmbeddedValkey, redis: Redis, user: UserId
) -> None:
    before, during, after = (writer_of(redis, prefixes) for prefixes in (BEFORE, IN, AFTER))
    begun = await before.begin(user)
    await before.append([FeedAppend(user, (b"a", b"b"))])
    assert await read(valkey, IN, user, begun) == [b"a", b"b"]
    await during.append([FeedAppend(user, (b"c",))])
    for prefixes in (BEFORE, IN, AFTER):
        assert await read(valkey, prefixes, user, begun) == [b"a", b"b", b"c"]
    await after.append([FeedAppend(user, (b"d",))])
    assert await read(valkey, IN, user, begun) == [b"a", b"b", b"c", b"d"]
    await during.append([FeedAppend(user, (b"e",))])
    for prefixes in (BEFORE, IN, AFTER):
        assert await read(valkey, prefixes, user, begun) == [b"a", b"b", b"c", b"d", b"e"]


async def test_an_old_feed_under_the_other_prefix_is_replaced(
    valkey: EmbeddedValkey, redis: Redis, user: UserId
) -> None:
    old = feed_names(user, AFTER).keys[0]
    await redis.xadd(old, {"frame": b"old"}, id="5-700")
    begun = await writer_of(redis, BEFORE).begin(user)
    await writer_of(redis, BEFORE).append([FeedAppend(user, (b"a",))])
    assert await read(valkey, IN, user, begun) == [b"a"]
    assert await read(valkey, IN, user, Offset(5, 700)) == []  # as long as nobody has written
    await writer_of(redis, IN).append([FeedAppend(user, (b"b",))])
    assert await read(valkey, IN, user, Offset(5, 700)) is None
    assert await read(valkey, AFTER, user, begun) == [b"a", b"b"]


async def test_a_feed_expires_after_its_last_entry_and_one_that_has_ended_within_a_minute(
    redis: Redis, user: UserId
) -> None:
    (key,) = feed_names(user, BEFORE).keys
    await writer_of(redis, BEFORE).append([FeedAppend(user, (b"a",))])
    assert 90_000 < await redis.pttl(key) <= 100_000
    await writer_of(redis, BEFORE).append([FeedAppend(user, (b"end",), is_last=True)])
    assert 50_000 < await redis.pttl(key) <= 60_000
    assert await redis.xlen(key) == 1


async def test_what_is_late_does_not_lengthen_the_life_of_an_ended_feed(redis: Redis, user: UserId) -> None:
    (key,) = feed_names(user, BEFORE).keys
    writer = writer_of(redis, BEFORE)
    await writer.append([FeedAppend(user, (encode(ACCOUNT_DELETED),), is_last=True)])
    await writer.append([FeedAppend(user, (b"late",))])
    await writer.begin(user)
    assert 50_000 < await redis.pttl(key) <= 60_000
    assert await redis.xlen(key) == 1


async def test_entries_with_the_sequences_of_lost_ones_are_not_taken_for_them(
    valkey: EmbeddedValkey, redis: Redis, user: UserId
) -> None:
    (key,) = feed_names(user, BEFORE).keys
    kept, lost = Offset(10**12, 1), Offset(10**12, 2)
    await redis.xadd(key, {"frame": b"kept"}, id=str(kept))  # what a server had saved when it crashed
    await writer_of(redis, BEFORE).append([FeedAppend(user, (b"other",))])
    assert (await writer_of(redis, BEFORE).begin(user)).sequence == lost.sequence
    assert await read(valkey, BEFORE, user, lost) is None
    assert await read(valkey, BEFORE, user, kept) == [b"other"]


async def test_a_clock_that_goes_back_does_not_stop_a_feed(valkey: EmbeddedValkey, redis: Redis, user: UserId) -> None:
    (key,) = feed_names(user, BEFORE).keys
    ahead = 9 * 10**12  # milliseconds: in the year 2255
    await redis.xadd(key, {"frame": b"ahead"}, id=f"{ahead}-1")
    await writer_of(redis, BEFORE).append([FeedAppend(user, (b"now",))])
    assert await read(valkey, BEFORE, user, Offset(ahead, 1)) == [b"now"]


async def test_two_hundred_readers_of_a_user_are_one_subscription_on_one_connection(
    valkey: EmbeddedValkey, redis: Redis, user: UserId
) -> None:
    (channel,) = feed_names(user, BEFORE).channels
    async with open_streams(valkey.url, ttl=60) as streams:
        assert isinstance(streams.feed_reader, RedisFeedReader)
        following = [streams.feed_reader.follow(user) for _ in range(200)]
        for one in following:
            await one.__aenter__()
        assert await redis.pubsub_numsub(channel) == [(channel.encode(), 1)]
        for one in following:
            await one.__aexit__(None, None, None)


async def test_a_server_that_refuses_makes_the_feed_unavailable(
    valkey: EmbeddedValkey, redis: Redis, user: UserId
) -> None:
    commands = ["+@all", "-xadd"]
    await redis.acl_setuser(
        "refused", enabled=True, passwords=["+secret"], keys=["*"], channels=["*"], commands=commands
    )
    async with Redis.from_url(valkey.url, username="refused", password="secret") as refused:
        with pytest.raises(StreamsUnavailable):
            await writer_of(refused, BEFORE).append([FeedAppend(user, (b"a",))])
        with pytest.raises(StreamsUnavailable):
            await writer_of(refused, BEFORE).begin(user)
    await redis.acl_deluser("refused")


async def test_what_is_no_feed_gives_way_to_one(redis: Redis, user: UserId) -> None:
    (key,) = feed_names(user, BEFORE).keys
    await redis.set(key, "not a stream")
    begun = await writer_of(redis, BEFORE).begin(user)
    assert begun.sequence == 1
    await writer_of(redis, BEFORE).append([FeedAppend(user, (b"a",))])
    assert await redis.xlen(key) == 2
