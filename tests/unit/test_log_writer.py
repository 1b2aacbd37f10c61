"""Log writers and their flusher, over a real log in memory and a connection to it that fails on demand."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from copy import copy
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.worker.generations.log_writer import Flusher, LogWriter
from shared.errors import AppendRefused, AttemptSuperseded, LogClosed, LogDiverged, StreamsUnavailable
from shared.ids import ChatId, GenerationId, MessageId, new_generation_id
from shared.protocol import frames
from shared.protocol.encoding import decode, encode
from shared.protocol.frames import Frame
from shared.protocol.transcript import read
from shared.streams.in_memory import InMemoryStreams
from shared.streams.opening import read_log
from shared.streams.port import BEGINNING, Append, Entry, Offset

INTERVAL = 0.01
NEVER = 60.0
"""An interval that no test waits for."""


@dataclass
class FailingWriter:
    """A Writer: the way to a log, which can be cut on the way there or on the way back, or held up."""

    streams: InMemoryStreams
    cuts: deque[str] = field(default_factory=deque)
    calls: list[list[Append]] = field(default_factory=list)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    was_cut: asyncio.Event = field(default_factory=asyncio.Event)

    async def append(self, appends: Sequence[Append]) -> list[int | AppendRefused]:
        """Append (Writer), unless the connection is cut."""
        self.calls.append(list(appends))
        self.arrived.set()
        await self.free.wait()
        cut = self.cuts.popleft() if self.cuts else ""
        answers = await self.streams.append(appends) if cut != "there" else []
        if cut:
            self.was_cut.set()
            raise StreamsUnavailable
        return answers

    def hold(self) -> None:
        """Let what arrives from now on wait."""
        self.arrived.clear()
        self.free.clear()


@dataclass
class LogInMemory:
    """A log, the connection to it, and a running flusher."""

    streams: InMemoryStreams
    connection: FailingWriter
    flusher: Flusher
    generation: GenerationId = field(default_factory=new_generation_id)

    async def open(self, attempt: int = 1, generation: GenerationId | None = None) -> LogWriter:
        """A log_writer on the generation's log."""
        generation = generation or self.generation
        log_writer, _ = await self.flusher.open(generation, attempt, opening(generation))
        return log_writer

    async def entries(self) -> list[Entry]:
        """The log."""
        return await self.streams.replay(self.generation, BEGINNING, limit=10_000)

    async def parts(self) -> list[Frame]:
        """The log after its opening frame."""
        return [decode(entry.frame) for entry in (await self.entries())[1:]]


def opening(generation: GenerationId) -> Frame:
    """The first frame of an attempt."""
    return frames.start(MessageId(2), generation, user_message_id=MessageId(1), chat_id=ChatId(1))


def said(text: str, text_id: str = "0") -> Frame:
    """A text delta."""
    return frames.text_delta(text_id, text)


async def working(interval: float) -> AsyncIterator[LogInMemory]:
    """A log whose flusher flushes so often."""
    streams = InMemoryStreams()
    connection = FailingWriter(streams)
    connection.free.set()
    logged = LogInMemory(streams, connection, Flusher(connection, streams, interval=interval))
    running = asyncio.create_task(logged.flusher.run())
    yield logged
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def logged() -> AsyncIterator[LogInMemory]:
    """As a worker has it."""
    async for made in working(INTERVAL):
        yield made


@pytest.fixture
async def unhurried() -> AsyncIterator[LogInMemory]:
    """A log whose flusher flushes only what can't wait."""
    async for made in working(NEVER):
        yield made


async def test_deltas_that_come_close_together_become_one_frame(logged: LogInMemory) -> None:
    log_writer = await logged.open()
    for number in range(100):
        log_writer.write(said(f"{number} "))
    await log_writer.settled()
    assert await logged.parts() == [said("".join(f"{number} " for number in range(100)))]


async def test_the_first_token_does_not_wait_for_others(unhurried: LogInMemory) -> None:
    log_writer = await unhurried.open()
    log_writer.write(frames.text_start("0"))
    log_writer.write(said("Hi"), flush_now=True)
    async with asyncio.timeout(5):
        await log_writer.settled()
    assert await unhurried.parts() == [frames.text_start("0"), said("Hi")]


async def test_what_is_in_no_hurry_waits_for_the_interval(unhurried: LogInMemory) -> None:
    log_writer = await unhurried.open()
    appends = len(unhurried.connection.calls)
    log_writer.write(said("slow"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(log_writer.settled(), 0.05)
    assert len(unhurried.connection.calls) == appends


async def test_nothing_waits_for_a_next_token_that_does_not_come(logged: LogInMemory) -> None:
    log_writer = await logged.open()
    log_writer.write(said("last words"))
    async with asyncio.timeout(5):
        await log_writer.settled()
    assert await logged.parts() == [said("last words")]


async def test_only_deltas_of_the_same_text_are_joined(logged: LogInMemory) -> None:
    log_writer = await logged.open()
    written = [
        said("a"),
        said("b", "1"),
        frames.reasoning_delta("1", "c"),
        said("d", "1"),
        frames.text_end("1"),
        said("e", "1"),
    ]
    for part in written:
        log_writer.write(copy(part))
    await log_writer.settled()
    assert await logged.parts() == written


parts = st.one_of(
    st.builds(said, st.text(max_size=5), st.sampled_from("01")),
    st.builds(frames.reasoning_delta, st.sampled_from("01"), st.text(max_size=5)),
    st.builds(frames.status, st.fixed_dictionaries({"status": st.text(max_size=5)})),
    st.builds(frames.text_end, st.sampled_from("01")),
)
accidents = st.lists(st.sampled_from(["", "", "there", "back"]), max_size=2)


def spelled(written: Sequence[Frame]) -> list[tuple[object, ...]]:
    """The parts with every delta taken apart into characters, so that joining makes no difference."""
    spelt: list[tuple[object, ...]] = []
    for part in written:
        if part["type"] == "text-delta" or part["type"] == "reasoning-delta":
            spelt += [(part["type"], part["id"], character) for character in part["delta"]]
        else:
            spelt.append(tuple(sorted((key, str(value)) for key, value in part.items())))
    return spelt


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(parts, st.booleans()), max_size=12), accidents)
def test_whatever_is_written_is_logged_once_and_in_order(written: list[tuple[Frame, bool]], cuts: list[str]) -> None:
    async def write() -> list[Frame]:
        async for logged in working(0.001):
            log_writer = await logged.open()
            logged.connection.cuts.extend(cuts)
            for part, pause in written:
                log_writer.write(copy(part))
                if pause:
                    await asyncio.sleep(0.002)
            await log_writer.settled()
            entries = await logged.entries()
            assert [entry.offset.sequence for entry in entries] == list(range(1, len(entries) + 1))
            return [decode(entry.frame) for entry in entries[1:]]
        raise AssertionError

    assert spelled(asyncio.run(write())) == spelled([part for part, _ in written])


async def test_all_log_writers_of_a_process_share_one_round_trip(logged: LogInMemory) -> None:
    log_writers = [await logged.open(generation=new_generation_id()) for _ in range(50)]
    logged.connection.calls.clear()
    for log_writer in log_writers:
        log_writer.write(said("hi"))
    await asyncio.gather(*(log_writer.settled() for log_writer in log_writers))
    assert [len(call) for call in logged.connection.calls] == [50]


async def test_what_is_written_while_an_append_is_under_way_comes_after_it(logged: LogInMemory) -> None:
    log_writer = await logged.open()
    logged.connection.hold()
    log_writer.write(said("a"), flush_now=True)
    await logged.connection.arrived.wait()
    log_writer.write(said("b"))
    log_writer.write(said("c"))
    logged.connection.free.set()
    await log_writer.settled()
    assert await logged.parts() == [said("a"), said("bc")]


@pytest.mark.parametrize("cut", ["there", "back"])
async def test_an_append_whose_answer_is_lost_is_in_the_log_once(logged: LogInMemory, cut: str) -> None:
    log_writer = await logged.open()
    logged.connection.cuts.append(cut)
    log_writer.write(said("a"), flush_now=True)
    await logged.connection.was_cut.wait()
    log_writer.write(said("b"))
    await log_writer.settled()
    assert await logged.parts() == [said("a"), said("b")]


@pytest.mark.parametrize("cut", ["there", "back"])
async def test_a_lost_answer_to_the_last_append_leaves_one_terminal_frame(logged: LogInMemory, cut: str) -> None:
    log_writer = await logged.open()
    logged.connection.cuts.append(cut)
    await log_writer.close(frames.finish("stop"))
    assert [entry.terminal for entry in await logged.entries()] == [False, True]


async def test_a_log_that_was_lost_is_written_again_under_the_same_sequences(logged: LogInMemory) -> None:
    log_writer = await logged.open()
    log_writer.write(said("a"))
    await log_writer.settled()
    before = await logged.entries()
    logged.streams.lose(logged.generation)
    log_writer.write(said("b"))
    await log_writer.settled()
    after = await logged.entries()
    assert after[: len(before)] == before
    assert [decode(entry.frame) for entry in after[len(before) :]] == [said("b")]


async def test_an_attempt_that_is_over_does_not_write_a_lost_log_again(logged: LogInMemory) -> None:
    log_writer, other = await logged.open(), await logged.open(generation=new_generation_id())
    log_writer.write(said("a"))
    await log_writer.settled()
    logged.connection.hold()
    log_writer.write(said("b"), flush_now=True)
    await logged.connection.arrived.wait()
    logged.streams.lose(logged.generation)
    log_writer.leave()
    logged.connection.free.set()
    for text in "cde":  # round trips in which the log would be written again
        other.write(said(text), flush_now=True)
        await other.settled()
    assert await logged.entries() == []
    with pytest.raises(AttemptSuperseded):
        log_writer.write(said("f"))
    with pytest.raises(AttemptSuperseded):
        await log_writer.settled()


async def test_a_log_that_lost_its_end_gets_it_back(logged: LogInMemory) -> None:
    log_writer = await logged.open()
    for text in "abc":
        log_writer.write(said(text))
        await log_writer.settled()
    before = await logged.entries()
    logged.streams.lose(logged.generation)
    await logged.streams.append([Append(logged.generation, 1, None, tuple(entry.frame for entry in before[:2]))])
    log_writer.write(said("d"))
    await log_writer.settled()
    assert (await logged.entries())[:4] == before
    assert await logged.parts() == [said("a"), said("b"), said("c"), said("d")]


async def test_a_log_that_is_lost_again_while_it_is_written_again_comes_back_whole(logged: LogInMemory) -> None:
    log_writer = await logged.open()
    log_writer.write(said("a"))
    await log_writer.settled()
    logged.streams.lose(logged.generation)
    logged.connection.cuts.append("there")
    log_writer.write(said("b"), flush_now=True)
    await logged.connection.was_cut.wait()
    logged.streams.lose(logged.generation)
    await log_writer.close(frames.finish("stop"))
    assert await logged.parts() == [said("a"), said("b"), frames.finish("stop")]
    assert [entry.terminal for entry in await logged.entries()] == [False, False, False, True]


async def test_a_later_attempt_stops_the_log_writer_at_once(logged: LogInMemory) -> None:
    log_writer = await logged.open(attempt=1)
    await logged.open(attempt=2)
    log_writer.write(said("too late"))
    with pytest.raises(AttemptSuperseded):
        await log_writer.settled()
    with pytest.raises(AttemptSuperseded):
        log_writer.write(said("still too late"))
    with pytest.raises(AttemptSuperseded):
        await log_writer.close(frames.finish("stop"))
    assert [entry.offset for entry in await logged.entries()] == [Offset(1, 1), Offset(2, 2)]


async def test_a_closed_log_stops_the_log_writer(logged: LogInMemory) -> None:
    log_writer = await logged.open()
    await logged.streams.append([Append(logged.generation, 1, 1, (encode(frames.finish("stop")),), terminal=True)])
    log_writer.write(said("a"))
    log_writer.write(said("b", "1"))
    with pytest.raises(LogClosed):
        await log_writer.settled()


async def test_a_log_that_is_longer_than_the_log_writer_knows_stops_it(logged: LogInMemory) -> None:
    log_writer = await logged.open()
    await logged.streams.append([Append(logged.generation, 1, 1, (b"x", b"y", b"z"))])
    log_writer.write(said("a"))
    with pytest.raises(LogDiverged) as refused:
        await log_writer.settled()
    assert refused.value.last_sequence == 4


async def test_a_refused_log_writer_does_not_hold_up_the_others(logged: LogInMemory) -> None:
    stale = await logged.open(attempt=1)
    await logged.open(attempt=2)
    other = await logged.open(generation=new_generation_id())
    stale.write(said("a"))
    other.write(said("b"))
    await other.settled()
    with pytest.raises(AttemptSuperseded):
        await stale.settled()


async def test_closing_goes_out_in_one_append_with_what_still_waits(unhurried: LogInMemory) -> None:
    log_writer = await unhurried.open()
    log_writer.write(frames.text_start("0"))
    log_writer.write(said("all of it"))
    await log_writer.close(frames.text_end("0"), frames.finish("stop"))
    (last,) = unhurried.connection.calls[-1]
    assert last.terminal
    assert [decode(frame)["type"] for frame in last.frames] == ["text-start", "text-delta", "text-end", "finish"]
    assert [entry.terminal for entry in await unhurried.entries()] == [False, False, False, False, True]


async def test_closing_while_an_append_is_under_way_closes_with_the_next(logged: LogInMemory) -> None:
    log_writer = await logged.open()
    logged.connection.hold()
    log_writer.write(said("a"), flush_now=True)
    await logged.connection.arrived.wait()
    closing = asyncio.create_task(log_writer.close(frames.finish("stop")))
    await asyncio.sleep(0)
    logged.connection.free.set()
    await closing
    assert await logged.parts() == [said("a"), frames.finish("stop")]
    assert [entry.terminal for entry in await logged.entries()] == [False, False, True]


async def test_closing_after_a_cut_does_not_close_with_the_repeated_append(logged: LogInMemory) -> None:
    log_writer = await logged.open()
    logged.connection.cuts.append("back")
    log_writer.write(said("a"), flush_now=True)
    await logged.connection.was_cut.wait()
    await log_writer.close(frames.finish("stop"))
    assert [entry.terminal for entry in await logged.entries()] == [False, False, True]


async def test_opening_reads_what_earlier_attempts_wrote(logged: LogInMemory) -> None:
    first = await logged.open(attempt=1)
    first.write(said("Once upon "))
    await first.settled()
    log_writer, written = await logged.flusher.open(logged.generation, 2, opening(logged.generation))
    assert written == [entry.frame for entry in await logged.entries()]
    assert read(written).text == "Once upon "
    log_writer.write(said("a time"))
    await log_writer.settled()
    assert read(entry.frame for entry in await logged.entries()).text == "Once upon a time"


@pytest.mark.parametrize("cut", ["there", "back"])
async def test_opening_waits_for_the_log_to_answer(logged: LogInMemory, cut: str) -> None:
    logged.connection.cuts.append(cut)
    log_writer, written = await logged.flusher.open(logged.generation, 1, opening(logged.generation))
    assert written == [encode(opening(logged.generation))]
    await log_writer.close(frames.finish("stop"))
    assert len(await logged.entries()) == 2


async def test_a_stale_attempt_can_not_open_the_log(logged: LogInMemory) -> None:
    await logged.open(attempt=2)
    with pytest.raises(AttemptSuperseded):
        await logged.open(attempt=1)


async def test_a_closed_log_can_not_be_opened(logged: LogInMemory) -> None:
    log_writer = await logged.open(attempt=1)
    await log_writer.close(frames.finish("stop"))
    with pytest.raises(LogClosed):
        await logged.open(attempt=2)


async def test_a_log_of_many_pages_is_read_whole(logged: LogInMemory) -> None:
    written = tuple(b"%d" % number for number in range(1234))
    await logged.streams.append([Append(logged.generation, 1, None, written)])
    assert await read_log(logged.streams, logged.generation) == list(written)
