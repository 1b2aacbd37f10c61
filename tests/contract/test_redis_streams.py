"""What only a server can do to a stream log: forget, cut, restart."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from services.launcher.embedded.valkey import EmbeddedValkey
from shared.errors import StreamsUnavailable
from shared.ids import GenerationId, new_generation_id
from shared.streams.names import channel, log_key
from shared.streams.port import BEGINNING, Append, Entry, Offset, Subscription
from shared.streams.redis import RedisWriter
from tests.contract.conftest import Streams, open_redis

SECONDS = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A Valkey of this file's own: what is done to it must not reach other tests."""
    with EmbeddedValkey(tmp_path_factory.mktemp("cut"), appendonly=True, appendfsync="always") as started:
        yield started


@pytest.fixture
async def streams(server: EmbeddedValkey) -> AsyncIterator[Streams]:
    """Streams on it."""
    async with open_redis(server.url) as opened:
        yield opened


@pytest.fixture
async def admin(server: EmbeddedValkey) -> AsyncIterator[Redis]:
    """Another connection to it."""
    async with Redis.from_url(server.url) as redis:
        yield redis


async def read_until(streams: Streams, generation: GenerationId, subscription: Subscription, last: int) -> list[Entry]:
    """Read as a reader does: live frames if they come next, otherwise the log."""
    entries: list[Entry] = []
    async with asyncio.timeout(SECONDS):
        while len(entries) < last:
            notification = await subscription.wait()
            next_ones = [entry for entry in notification.entries if entry.offset.sequence > len(entries)]
            if notification.missed or (next_ones and next_ones[0].offset.sequence != len(entries) + 1):
                reached = entries[-1].offset if entries else BEGINNING
                next_ones = await streams.reader.replay(generation, reached)
            entries += next_ones
    return entries


async def test_a_server_that_forgot_the_script_is_told_it_again(
    streams: Streams, admin: Redis, generation: GenerationId
) -> None:
    await streams.write(generation, b"a")
    await admin.script_flush()
    assert await streams.write(generation, b"b", after=1) == 2
    await admin.script_flush()
    others = [new_generation_id() for _ in range(5)]
    assert await streams.writer.append([Append(other, 1, None, (b"x", b"y")) for other in others]) == [2] * 5


async def test_a_log_expires_after_its_last_append(
    server: EmbeddedValkey, admin: Redis, generation: GenerationId
) -> None:
    writer = RedisWriter(admin, ttl=100)
    await writer.append([Append(generation, 1, None, (b"a",))])
    assert 90_000 < await admin.pttl(log_key(generation)) <= 100_000
    await admin.pexpire(log_key(generation), 20_000)
    await writer.append([Append(generation, 1, 1, (b"end",), terminal=True)])
    assert 90_000 < await admin.pttl(log_key(generation)) <= 100_000


async def test_a_log_that_has_expired_is_absent(streams: Streams, admin: Redis, generation: GenerationId) -> None:
    await streams.write(generation, b"a")
    await admin.pexpire(log_key(generation), 0)
    assert await streams.reader.head(generation) is None
    assert await streams.reader.replay(generation, BEGINNING) == []


async def test_the_server_itself_refuses_a_lower_attempt(
    streams: Streams, admin: Redis, generation: GenerationId
) -> None:
    await streams.write(generation, b"a", attempt=2)
    with pytest.raises(Exception, match="equal or smaller"):
        await admin.xadd(log_key(generation), {"frame": "zombie"}, id="1-99")


async def test_fifty_readers_share_one_connection(streams: Streams, admin: Redis) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(50):
            await stack.enter_async_context(streams.reader.follow(new_generation_id()))
        assert len(await admin.client_list(_type="pubsub")) == 1


async def test_a_log_without_readers_is_not_subscribed_to(
    streams: Streams, admin: Redis, generation: GenerationId
) -> None:
    async with streams.reader.follow(generation), streams.reader.follow(generation):
        assert await admin.pubsub_numsub(channel(generation)) == [(channel(generation).encode(), 1)]
    async with streams.reader.follow(new_generation_id()):
        assert await admin.pubsub_numsub(channel(generation)) == [(channel(generation).encode(), 0)]


async def test_a_cut_subscription_is_reported_and_goes_on(
    streams: Streams, admin: Redis, generation: GenerationId
) -> None:
    async with streams.reader.follow(generation) as subscription:
        await streams.write(generation, b"a")
        assert [entry.frame for entry in await read_until(streams, generation, subscription, 1)] == [b"a"]
        await admin.client_kill_filter(_type="pubsub")
        async with asyncio.timeout(SECONDS):
            assert (await subscription.wait()).missed
        await streams.write(generation, b"b", after=1)
        assert [entry.frame for entry in await read_until(streams, generation, subscription, 2)] == [b"a", b"b"]


async def test_a_reader_misses_and_doubles_nothing_while_its_subscription_is_cut_again_and_again(
    streams: Streams, admin: Redis, generation: GenerationId
) -> None:
    async def write() -> None:
        for after in range(100):
            await streams.write(generation, b"%d" % after, after=after)
            if after % 10 == 0:
                await admin.client_kill_filter(_type="pubsub")

    async with streams.reader.follow(generation) as subscription:
        writing = asyncio.create_task(write())
        entries = await read_until(streams, generation, subscription, 100)
        await writing
    assert [entry.offset.sequence for entry in entries] == list(range(1, 101))


async def test_a_frame_that_nobody_published_is_found_by_looking(
    streams: Streams, admin: Redis, generation: GenerationId
) -> None:
    async with streams.reader.follow(generation) as subscription:
        await admin.xadd(log_key(generation), {"frame": b"silent"}, id="1-1")
        async with asyncio.timeout(SECONDS):
            assert (await subscription.wait()).missed
    assert await streams.reader.replay(generation, BEGINNING) == [Entry(Offset(1, 1), b"silent")]


async def test_a_server_that_is_killed_is_unavailable_and_then_works_again(
    server: EmbeddedValkey, streams: Streams, generation: GenerationId
) -> None:
    async with streams.reader.follow(generation) as subscription:
        await streams.write(generation, b"a")
        server.kill()
        with pytest.raises(StreamsUnavailable):
            await streams.write(generation, b"b", after=1)
        with pytest.raises(StreamsUnavailable):
            await streams.reader.replay(generation, BEGINNING)
        with pytest.raises(StreamsUnavailable):
            await streams.reader.head(generation)
        with pytest.raises(StreamsUnavailable):
            async with streams.reader.follow(new_generation_id()):
                pass
        server.start()
        assert await streams.write(generation, b"b", after=1) == 2
        assert [entry.frame for entry in await read_until(streams, generation, subscription, 2)] == [b"a", b"b"]


async def test_a_reader_that_could_not_subscribe_leaves_nothing_behind(
    server: EmbeddedValkey, streams: Streams, generation: GenerationId
) -> None:
    async with streams.reader.follow(new_generation_id()):
        server.kill()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), streams.reader.follow(generation):
                pass
        server.start()
        async with asyncio.timeout(SECONDS), streams.reader.follow(generation) as subscription:
            await streams.write(generation, b"a")
            assert [entry.frame for entry in await read_until(streams, generation, subscription, 1)] == [b"a"]
