"""A log while its deployment's prefix changes: writers and readers from before the change, in it and from after it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from services.launcher.embedded.valkey import EmbeddedValkey
from shared.errors import AttemptSuperseded, LogClosed
from shared.ids import GenerationId
from shared.streams.cancel_signals import CHANNEL, CancelSignals
from shared.streams.port import BEGINNING, Append, Entry, Offset, Subscription
from shared.streams.redis import TransientFrames
from tests.contract.conftest import Streams, open_redis
from tests.support.system import eventually

SECONDS = 10
BEFORE, IN, AFTER = ("",), ("new:", ""), ("new:",)


@pytest.fixture
async def before(valkey: EmbeddedValkey) -> AsyncIterator[Streams]:
    async with open_redis(valkey.url, prefixes=BEFORE) as opened:
        yield opened


@pytest.fixture
async def during(valkey: EmbeddedValkey) -> AsyncIterator[Streams]:
    async with open_redis(valkey.url, prefixes=IN) as opened:
        yield opened


@pytest.fixture
async def after(valkey: EmbeddedValkey) -> AsyncIterator[Streams]:
    async with open_redis(valkey.url, prefixes=AFTER) as opened:
        yield opened


async def frames_of(streams: Streams, generation: GenerationId) -> list[tuple[Offset, bytes]]:
    return [(entry.offset, entry.frame) for entry in await streams.reader.replay(generation, BEGINNING)]


async def frames_from(subscription: Subscription, count: int) -> list[Entry]:
    """So many frames as they come, none of which was missed."""
    entries: list[Entry] = []
    async with asyncio.timeout(SECONDS):
        while len(entries) < count:
            notification = await subscription.wait()
            assert not notification.missed
            entries += notification.entries
    return entries


async def test_a_log_goes_on_under_both_prefixes_with_all_that_it_had(
    before: Streams, during: Streams, after: Streams, generation: GenerationId
) -> None:
    await before.write(generation, b"a", b"b")
    assert [frame for _, frame in await frames_of(during, generation)] == [b"a", b"b"]
    await during.write(generation, b"c", attempt=2)
    whole = [(Offset(1, 1), b"a"), (Offset(1, 2), b"b"), (Offset(2, 3), b"c")]
    for streams in (before, during, after):
        assert await frames_of(streams, generation) == whole
    await after.write(generation, b"d", attempt=3)
    assert await frames_of(during, generation) == [*whole, (Offset(3, 4), b"d")]
    await during.write(generation, b"end", attempt=4, terminal=True)
    for streams in (before, during, after):
        assert (await frames_of(streams, generation))[-2:] == [(Offset(3, 4), b"d"), (Offset(4, 5), b"end")]
        head = await streams.reader.head(generation)
        assert head is not None
        assert head.terminal


async def test_a_writer_is_fenced_off_whichever_prefix_it_knows(
    before: Streams, during: Streams, after: Streams, generation: GenerationId
) -> None:
    await before.write(generation, b"a")
    await during.write(generation, b"b", attempt=2)
    assert isinstance((await before.writer.append([Append(generation, 1, 1, (b"x",))]))[0], AttemptSuperseded)
    await after.write(generation, b"c", attempt=3)
    assert isinstance((await during.writer.append([Append(generation, 2, 2, (b"x",))]))[0], AttemptSuperseded)
    await after.write(generation, b"end", attempt=3, after=3, terminal=True)
    assert isinstance((await during.writer.append([Append(generation, 4, None, (b"x",))]))[0], LogClosed)


@pytest.mark.parametrize("prefixes", [BEFORE, IN, AFTER])
async def test_a_reader_in_the_change_hears_every_frame_once(
    prefixes: tuple[str, ...], during: Streams, valkey: EmbeddedValkey, generation: GenerationId
) -> None:
    async with (
        open_redis(valkey.url, prefixes=prefixes) as writer,
        during.reader.follow(generation) as subscription,
    ):
        for number in range(20):
            await writer.write(generation, b"same", b"same", after=2 * number)
        entries = await frames_from(subscription, 40)
    assert [entry.offset for entry in entries] == [Offset(1, number) for number in range(1, 41)]


@pytest.mark.parametrize("prefixes", [BEFORE, AFTER])
async def test_readers_of_both_sides_hear_a_writer_in_the_change(
    prefixes: tuple[str, ...], during: Streams, valkey: EmbeddedValkey, generation: GenerationId
) -> None:
    async with (
        open_redis(valkey.url, prefixes=prefixes) as streams,
        streams.reader.follow(generation) as subscription,
    ):
        await during.write(generation, b"a", b"b")
        await during.write(generation, b"end", after=2, terminal=True)
        assert [entry.frame for entry in await frames_from(subscription, 3)] == [b"a", b"b", b"end"]
    head = await during.reader.head(generation)
    assert head is not None
    assert head.had_subscriber


@pytest.mark.parametrize(("sender", "listener"), [(BEFORE, IN), (IN, BEFORE), (IN, AFTER), (AFTER, IN), (IN, IN)])
async def test_a_cancel_signal_reaches_the_workers_of_the_other_side(
    sender: tuple[str, ...], listener: tuple[str, ...], valkey: EmbeddedValkey, generation: GenerationId
) -> None:
    async with Redis.from_url(valkey.url) as redis:
        signals = CancelSignals(redis, listener).listen()
        signalled = asyncio.ensure_future(anext(signals))
        channels = [f"{prefix}{CHANNEL}" for prefix in listener]
        with SyncRedis.from_url(valkey.url) as server:
            await eventually(lambda: all(count for _, count in server.pubsub_numsub(*channels)))
        async with asyncio.timeout(SECONDS):
            await CancelSignals(redis, sender).send([generation])
            assert await signalled == generation
        await signals.aclose()


async def test_a_frame_that_is_in_no_log_comes_once_too(
    during: Streams, after: Streams, valkey: EmbeddedValkey, generation: GenerationId
) -> None:
    async with (
        Redis.from_url(valkey.url) as redis,
        during.reader.follow(generation) as one,
        after.reader.follow(generation) as other,
    ):
        for frame in (b"a", b"b"):
            await TransientFrames(redis, IN).send(generation, frame)
        await during.write(generation, b"end")
        for subscription in (one, other):
            frames: list[bytes] = []
            async with asyncio.timeout(SECONDS):
                while not (notification := await subscription.wait()).entries:
                    frames += notification.transient_frames
            assert [*frames, *notification.transient_frames] == [b"a", b"b"]
