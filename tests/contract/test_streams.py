"""What every stream log promises (shared/streams/port.py, docs/protocol.md §1), asked of every adapter."""

import asyncio

import pytest

from shared.errors import AppendRefused, AttemptSuperseded, LogClosed, LogDiverged
from shared.ids import GenerationId, new_generation_id
from shared.streams.port import BEGINNING, Append, Entry, Notification, Offset, Subscription
from shared.streams.subscriptions import MAX_WAITING
from tests.contract.conftest import OpenStreams, Streams

SECONDS = 10


async def log_of(streams: Streams, generation: GenerationId) -> list[Entry]:
    """The whole log."""
    return await streams.reader.replay(generation, BEGINNING, limit=10_000)


async def answer(streams: Streams, append: Append) -> int | AppendRefused:
    """The answer to one append."""
    (answered,) = await streams.writer.append([append])
    return answered


async def had_subscriber(subscription: Subscription, count: int) -> list[Entry]:
    """The next live frames, none of them missed."""
    entries: list[Entry] = []
    async with asyncio.timeout(SECONDS):
        while len(entries) < count:
            notification = await subscription.wait()
            assert not notification.missed
            entries += notification.entries
    return entries


# Appending


async def test_frames_are_logged_in_order_and_numbered_from_one(streams: Streams, generation: GenerationId) -> None:
    assert await streams.write(generation, b"a") == 1
    assert await streams.write(generation, b"b", b"c", after=1) == 3
    assert await streams.write(generation, b"d", after=3) == 4
    assert await log_of(streams, generation) == [
        Entry(Offset(1, 1), b"a"),
        Entry(Offset(1, 2), b"b"),
        Entry(Offset(1, 3), b"c"),
        Entry(Offset(1, 4), b"d"),
    ]


@pytest.mark.parametrize(
    "frame", [b"", b"\0", b"\n", b"data: {}\n\n", b"\r\n", b"\xff\xfe", "ä\u2028".encode(), b"x" * 1_000_000]
)
async def test_a_frames_bytes_are_never_changed(streams: Streams, generation: GenerationId, frame: bytes) -> None:
    async with streams.reader.follow(generation) as subscription:
        await streams.write(generation, frame)
        (live,) = await had_subscriber(subscription, 1)
    (logged,) = await log_of(streams, generation)
    assert logged.frame == live.frame == frame


async def test_appending_nothing_answers_nothing(streams: Streams) -> None:
    assert await streams.writer.append([]) == []


async def test_several_logs_are_written_in_one_call_and_answered_in_order(streams: Streams) -> None:
    generations = [new_generation_id() for _ in range(20)]
    appends = [Append(one, 1, None, (b"x",) * count) for count, one in enumerate(generations, start=1)]
    assert await streams.writer.append(appends) == list(range(1, 21))
    assert [len(await log_of(streams, one)) for one in generations] == list(range(1, 21))


async def test_a_refusal_concerns_its_own_log_only(streams: Streams) -> None:
    good, bad, other = (new_generation_id() for _ in range(3))
    first, refusal, last = await streams.writer.append(
        [Append(good, 1, None, (b"a",)), Append(bad, 1, 7, (b"b",)), Append(other, 1, None, (b"c",))]
    )
    assert (first, last) == (1, 1)
    assert isinstance(refusal, LogDiverged)
    assert await log_of(streams, bad) == []


async def test_a_log_that_does_not_end_where_its_writer_left_it_tells_where_it_ends(
    streams: Streams, generation: GenerationId
) -> None:
    await streams.write(generation, b"a", b"b")
    before = await log_of(streams, generation)
    for after in (0, 1, 3, 1000):
        refusal = await answer(streams, Append(generation, 1, after, (b"x", b"y", b"z")))
        assert isinstance(refusal, LogDiverged)
        assert refusal.last_sequence == 2
    assert await log_of(streams, generation) == before


async def test_a_log_that_was_lost_ends_at_zero(streams: Streams, generation: GenerationId) -> None:
    refusal = await answer(streams, Append(generation, 1, 5, (b"x",)))
    assert isinstance(refusal, LogDiverged)
    assert refusal.last_sequence == 0


async def test_a_frame_of_another_attempts_in_the_place_of_ones_own_is_noticed(
    streams: Streams, generation: GenerationId
) -> None:
    # As after a crash that lost the second attempt's opening, and with it the fence before the first one.
    await streams.write(generation, b"a", b"zombie", attempt=1)
    refusal = await answer(streams, Append(generation, 2, 2, (b"end",), terminal=True))
    assert isinstance(refusal, LogDiverged)
    assert (refusal.last_sequence, refusal.owner) == (2, 1)
    assert [entry.frame for entry in await log_of(streams, generation)] == [b"a", b"zombie"]


async def test_an_attempt_writes_its_lost_opening_again_behind_anothers_frame(
    streams: Streams, generation: GenerationId
) -> None:
    await streams.write(generation, b"a", attempt=1)
    assert await answer(streams, Append(generation, 2, 1, (b"start", b"b"), rewrites_opening=True)) == 3
    assert [entry.offset for entry in await log_of(streams, generation)] == [Offset(1, 1), Offset(2, 2), Offset(2, 3)]


async def test_an_append_whose_answer_was_lost_may_be_sent_again(streams: Streams, generation: GenerationId) -> None:
    appends = [
        Append(generation, 1, None, (b"a",)),
        Append(generation, 1, 1, (b"b", b"c")),
        Append(generation, 1, 3, (b"d",), terminal=True),
    ]
    for append in appends:
        first = await answer(streams, append)
        before = await log_of(streams, generation)
        assert await answer(streams, append) == first
        assert await log_of(streams, generation) == before


async def test_a_repeated_append_does_not_ring_again(streams: Streams, generation: GenerationId) -> None:
    async with streams.reader.follow(generation) as subscription:
        for append in (Append(generation, 1, None, (b"a",)), Append(generation, 1, 1, (b"b",))):
            await answer(streams, append)
            await answer(streams, append)
        await streams.write(generation, b"c", after=2)
        assert [entry.frame for entry in await had_subscriber(subscription, 3)] == [b"a", b"b", b"c"]


# Attempts


async def test_an_attempt_opens_itself_wherever_the_log_ends(streams: Streams, generation: GenerationId) -> None:
    await streams.write(generation, b"a", b"b", attempt=1)
    assert await streams.write(generation, b"again", attempt=3) == 3
    assert [entry.offset for entry in await log_of(streams, generation)] == [Offset(1, 1), Offset(1, 2), Offset(3, 3)]


@pytest.mark.parametrize("after", [None, 2, 3])
async def test_once_a_later_attempt_has_opened_the_log_earlier_ones_are_refused(
    streams: Streams, generation: GenerationId, after: int | None
) -> None:
    await streams.write(generation, b"a", b"b", attempt=1)
    await streams.write(generation, b"again", attempt=2)
    before = await log_of(streams, generation)
    refusal = await answer(streams, Append(generation, 1, after, (b"zombie",)))
    assert isinstance(refusal, AttemptSuperseded)
    assert await log_of(streams, generation) == before


async def test_offsets_rise_and_have_no_gaps_however_many_attempts_race(
    streams: Streams, generation: GenerationId
) -> None:
    async def attempt(number: int) -> int | AppendRefused:
        return await answer(streams, Append(generation, number, None, (b"%d" % number,)))

    answers = await asyncio.gather(*(attempt(number) for number in (3, 1, 5, 2, 8, 7, 4, 6)))
    entries = await log_of(streams, generation)
    assert [entry.offset.sequence for entry in entries] == list(range(1, len(entries) + 1))
    assert sorted(entry.offset for entry in entries) == [entry.offset for entry in entries]
    assert entries[-1].offset.attempt == 8
    assert len(entries) == sum(isinstance(answered, int) for answered in answers)


async def test_of_writers_that_race_for_one_place_one_gets_it(streams: Streams, generation: GenerationId) -> None:
    await streams.write(generation, b"start")
    appends = [Append(generation, 1, 1, (b"%d" % count,) * count) for count in range(1, 9)]
    answers = await asyncio.gather(*(answer(streams, append) for append in appends))
    (winner,) = [append for append, answered in zip(appends, answers, strict=True) if isinstance(answered, int)]
    assert [entry.frame for entry in await log_of(streams, generation)] == [b"start", *winner.frames]


# Closing


async def test_a_terminal_append_closes_the_log_with_its_last_frame(streams: Streams, generation: GenerationId) -> None:
    await streams.write(generation, b"a")
    await streams.write(generation, b"b", b"end", after=1, terminal=True)
    assert [entry.terminal for entry in await log_of(streams, generation)] == [False, False, True]


@pytest.mark.parametrize("attempt", [1, 2])
@pytest.mark.parametrize("after", [None, 2])
@pytest.mark.parametrize("terminal", [False, True])
async def test_nothing_is_appended_to_a_closed_log(
    streams: Streams, generation: GenerationId, attempt: int, after: int | None, terminal: bool
) -> None:
    await streams.write(generation, b"a", b"end", terminal=True)
    before = await log_of(streams, generation)
    late = Append(generation, attempt, after, (b"late", b"later"), terminal)
    if (attempt, after) == (1, None):
        assert await answer(streams, late) == 2  # taken for the opening append, sent again
    else:
        assert isinstance(await answer(streams, late), LogClosed)
    assert await log_of(streams, generation) == before


async def test_the_end_says_whether_anybody_heard_it(streams: Streams) -> None:
    alone, followed = new_generation_id(), new_generation_id()
    await streams.write(alone, b"end", terminal=True)
    async with streams.reader.follow(followed):
        await streams.write(followed, b"end", terminal=True)
    for generation, was_heard in ((alone, False), (followed, True)):
        head = await streams.reader.head(generation)
        assert head == Entry(Offset(1, 1), b"end", terminal=True, had_subscriber=was_heard)


async def test_a_reader_that_has_left_does_not_count_as_having_heard(
    streams: Streams, generation: GenerationId
) -> None:
    async with streams.reader.follow(generation):
        await streams.write(generation, b"a")
    async with streams.reader.follow(new_generation_id()):
        pass  # what is confirmed after the leaving, comes after it
    await streams.write(generation, b"end", after=1, terminal=True)
    head = await streams.reader.head(generation)
    assert head is not None
    assert not head.had_subscriber


# Reading what is past


async def test_a_replay_begins_after_the_offset(streams: Streams, generation: GenerationId) -> None:
    await streams.write(generation, b"a", b"b", b"c")
    entries = await log_of(streams, generation)
    assert await streams.reader.replay(generation, Offset(1, 1)) == entries[1:]
    assert await streams.reader.replay(generation, Offset(1, 3)) == []
    assert await streams.reader.replay(generation, Offset(1, 99)) == []


async def test_a_log_that_is_not_there_has_no_frames_and_no_head(streams: Streams, generation: GenerationId) -> None:
    assert await log_of(streams, generation) == []
    assert await streams.reader.head(generation) is None


async def test_a_refused_append_makes_no_log(streams: Streams, generation: GenerationId) -> None:
    await answer(streams, Append(generation, 1, 3, (b"x",)))
    assert await streams.reader.head(generation) is None


async def test_a_replay_gives_at_most_what_is_asked_for(streams: Streams, generation: GenerationId) -> None:
    await streams.write(generation, b"a", b"b", b"c")
    assert [entry.frame for entry in await streams.reader.replay(generation, BEGINNING, limit=2)] == [b"a", b"b"]


async def test_page_after_page_is_the_whole_log_once(streams: Streams, generation: GenerationId) -> None:
    for attempt in (1, 2, 3):
        await streams.write(generation, *(b"%d" % number for number in range(17)), attempt=attempt)
    pages: list[list[Entry]] = []
    reached = BEGINNING
    while page := await streams.reader.replay(generation, reached, limit=5):
        pages.append(page)
        reached = page[-1].offset
    assert [entry for page in pages for entry in page] == await log_of(streams, generation)
    assert all(len(page) <= 5 for page in pages)


async def test_the_head_is_the_last_entry(streams: Streams, generation: GenerationId) -> None:
    await streams.write(generation, b"a", b"b")
    assert await streams.reader.head(generation) == Entry(Offset(1, 2), b"b")
    await streams.write(generation, b"end", attempt=2, terminal=True)
    assert await streams.reader.head(generation) == Entry(Offset(2, 3), b"end", terminal=True, had_subscriber=False)


@pytest.mark.parametrize("limit", [1, 3, 500])
async def test_a_log_that_was_written_again_by_a_later_attempt_goes_on_after_the_same_sequence(
    streams: Streams, generation: GenerationId, limit: int
) -> None:
    """The reader has an offset of attempt 1; the log was lost, and attempt 2 wrote its early frames again."""
    await streams.write(generation, *(b"%d" % number for number in range(1, 11)), attempt=2)
    entries = await streams.reader.replay(generation, Offset(1, 4), limit=limit)
    assert entries[0] == Entry(Offset(2, 5), b"5")
    assert [entry.offset.sequence for entry in entries] == list(range(5, 5 + len(entries)))


# Following


async def test_what_is_appended_after_subscribing_rings_in_order(streams: Streams, generation: GenerationId) -> None:
    async with streams.reader.follow(generation) as subscription:
        await streams.write(generation, b"a")
        for after in range(1, 50):
            await streams.write(generation, b"%d" % after, after=after)
        entries = await had_subscriber(subscription, 50)
    assert entries == await log_of(streams, generation)


async def test_what_rings_is_what_is_logged_to_the_last_flag(streams: Streams, generation: GenerationId) -> None:
    async with streams.reader.follow(generation) as subscription:
        await streams.write(generation, b"a", b"b", attempt=2)
        await streams.write(generation, b"c", b"end", attempt=3, terminal=True)
        entries = await had_subscriber(subscription, 4)
    assert entries == await log_of(streams, generation)


async def test_what_came_before_subscribing_does_not_ring(streams: Streams, generation: GenerationId) -> None:
    await streams.write(generation, b"before")
    async with streams.reader.follow(generation) as subscription:
        await streams.write(generation, b"after", after=1)
        assert await had_subscriber(subscription, 1) == [Entry(Offset(1, 2), b"after")]


async def test_what_is_refused_does_not_ring(streams: Streams, generation: GenerationId) -> None:
    async with streams.reader.follow(generation) as subscription:
        await streams.write(generation, b"a", attempt=2)
        await answer(streams, Append(generation, 1, 1, (b"zombie",)))
        await answer(streams, Append(generation, 2, 9, (b"diverged",)))
        await streams.write(generation, b"b", attempt=2, after=1)
        assert [entry.frame for entry in await had_subscriber(subscription, 2)] == [b"a", b"b"]


async def test_every_reader_of_a_log_hears_every_frame(streams: Streams, generation: GenerationId) -> None:
    async with streams.reader.follow(generation) as one, streams.reader.follow(generation) as another:
        await streams.write(generation, b"a", b"b")
        assert await had_subscriber(one, 2) == await had_subscriber(another, 2)


async def test_a_reader_that_leaves_does_not_take_the_others_with_it(
    streams: Streams, generation: GenerationId
) -> None:
    async with streams.reader.follow(generation) as stays:
        async with streams.reader.follow(generation) as leaves:
            await streams.write(generation, b"a")
            await had_subscriber(leaves, 1)
        await streams.write(generation, b"b", after=1)
        assert [entry.frame for entry in await had_subscriber(stays, 2)] == [b"a", b"b"]


async def test_a_reader_hears_its_own_log_only(streams: Streams, generation: GenerationId) -> None:
    other = new_generation_id()
    async with streams.reader.follow(generation) as ours, streams.reader.follow(other) as theirs:
        await streams.write(other, b"theirs")
        await streams.write(generation, b"ours")
        assert [entry.frame for entry in await had_subscriber(ours, 1)] == [b"ours"]
        assert [entry.frame for entry in await had_subscriber(theirs, 1)] == [b"theirs"]


async def test_leaving_and_coming_back_misses_nothing_new(streams: Streams, generation: GenerationId) -> None:
    for after in range(20):
        async with streams.reader.follow(generation) as subscription:
            await streams.write(generation, b"%d" % after, after=after)
            async with asyncio.timeout(SECONDS):
                notification = await subscription.wait()
            assert notification.missed or notification.entries[-1].offset.sequence == after + 1


async def test_a_reader_that_falls_behind_is_told_and_finds_it_all_in_the_log(
    streams: Streams, generation: GenerationId
) -> None:
    total = MAX_WAITING + 100
    async with streams.reader.follow(generation) as slow, streams.reader.follow(generation) as quick:
        for after in range(0, total, 50):
            frames = [b"%d" % number for number in range(after, min(after + 50, total))]
            await streams.write(generation, *frames, after=after)
            await had_subscriber(quick, len(frames))
        notification = await slow.wait()
        assert notification.missed
        assert len(await log_of(streams, generation)) == total
        await streams.write(generation, b"next", after=total)
        assert (await had_subscriber(slow, 1))[0].frame == b"next"


async def test_a_quiet_doorbell_rings_for_nothing_now_and_then(open_streams: OpenStreams) -> None:
    async with open_streams(keep_alive=0.05) as streams, streams.reader.follow(new_generation_id()) as subscription:
        async with asyncio.timeout(SECONDS):
            assert await subscription.wait() == Notification()
            assert await subscription.wait() == Notification()


async def test_many_readers_of_many_logs_each_hear_their_own(streams: Streams) -> None:
    generations = [new_generation_id() for _ in range(30)]

    async def follow(generation: GenerationId) -> list[Entry]:
        async with streams.reader.follow(generation) as subscription:
            started.release()
            return await had_subscriber(subscription, 3)

    started = asyncio.Semaphore(0)
    reading = [asyncio.create_task(follow(generation)) for generation in generations]
    for _ in generations:
        await started.acquire()
    for after in range(3):
        await streams.writer.append(
            [Append(generation, 1, after, (f"{generation} {after}".encode(),)) for generation in generations]
        )
    for generation, entries in zip(generations, await asyncio.gather(*reading), strict=True):
        assert [entry.frame.decode() for entry in entries] == [f"{generation} {after}" for after in range(3)]
