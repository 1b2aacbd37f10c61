"""Streams are cut whose credentials are void: which, when, and how often the database is asked about that."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy.exc import OperationalError

from services.api.session_watch import SessionWatch
from services.api.stream_slots import StreamLimits, StreamSlots
from shared.ids import UserId

NOW = 1_000_000.0


class Streams:
    """Open streams by name, the sessions that live, and the clock."""

    def __init__(self, stack: ExitStack) -> None:
        self.slots = StreamSlots(StreamLimits(per_user=100, per_network=100))
        self.cut: list[str] = []
        self.live = {1, 2}
        self.live_keys = {1}
        self.asked: list[set[int]] = []
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()
        self.error: Exception | None = None
        self.now = NOW
        self.watch = SessionWatch(self.slots, self.find_live, self.find_live_keys, every=0.001, clock=lambda: self.now)
        self._stack = stack

    def open(
        self,
        name: str,
        session_id: int | None,
        expires_at: float | None = None,
        *,
        key_id: int | None = None,
        has_begun: bool = True,
    ) -> None:
        held = self.slots.hold(
            UserId(7), None, is_resumable=False, session_id=session_id, key_id=key_id, expires_at=expires_at
        )
        slot = self._stack.enter_context(held)
        if has_begun:
            slot.cut = lambda: self.cut.append(name)

    async def find_live(self, session_ids: Collection[int]) -> set[int]:
        self.asked.append(set(session_ids))
        self.is_asked.set()
        await self.may_answer.wait()
        if self.error:
            raise self.error
        return self.live & set(session_ids)

    async def find_live_keys(self, key_ids: Collection[int]) -> set[int]:
        return self.live_keys & set(key_ids)


@pytest.fixture
def streams() -> Iterator[Streams]:
    with ExitStack() as stack:
        yield Streams(stack)


async def test_the_streams_of_an_ended_session_are_cut_and_no_others(streams: Streams) -> None:
    for name, session_id in (("a", 1), ("b", 2), ("c", 2), ("d", None)):
        streams.open(name, session_id)
    await streams.watch.look()
    assert streams.cut == []
    streams.live = {1}
    await streams.watch.look()
    assert streams.cut == ["b", "c"]


async def test_the_streams_of_a_key_that_is_gone_are_cut_and_no_others(streams: Streams) -> None:
    streams.open("session", 1)
    streams.open("gone", None, key_id=2)
    streams.open("good", None, key_id=1)
    await streams.watch.look()
    assert streams.cut == ["gone"]
    assert streams.asked == [{1}]


async def test_all_sessions_are_asked_for_at_once(streams: Streams) -> None:
    for number in range(50):
        streams.open("x", number % 2 + 1)
    await streams.watch.look()
    assert streams.asked == [{1, 2}]


async def test_nobody_is_asked_while_no_stream_has_a_session(streams: Streams) -> None:
    await streams.watch.look()
    streams.open("a", None)
    await streams.watch.look()
    assert streams.asked == []


async def test_a_stream_is_cut_when_its_credential_has_expired(streams: Streams) -> None:
    streams.open("token", 1, NOW + 10)
    streams.open("of the release before", None, NOW + 10)
    streams.open("cookie", 1)
    await streams.watch.look()
    streams.now = NOW + 10
    await streams.watch.look()
    assert streams.cut == ["token", "of the release before"]


@pytest.mark.parametrize("error", [OperationalError("SELECT", {}, Exception()), TimeoutError()])
async def test_streams_go_on_while_the_database_does_not_answer(streams: Streams, error: Exception) -> None:
    streams.open("a", 3)
    streams.error = error
    await streams.watch.look()
    assert streams.cut == []
    streams.error = None
    await streams.watch.look()
    assert streams.cut == ["a"]


async def test_a_stream_that_opens_while_the_database_answers_is_judged_by_the_next_look(streams: Streams) -> None:
    streams.open("a", 1)
    streams.may_answer.clear()
    looking = asyncio.create_task(streams.watch.look())
    await streams.is_asked.wait()
    streams.open("b", 3)
    streams.may_answer.set()
    await looking
    assert streams.cut == []
    await streams.watch.look()
    assert streams.cut == ["b"]


async def test_a_stream_that_has_not_begun_is_cut_once_it_has(streams: Streams) -> None:
    streams.open("a", 3, has_begun=False)
    await streams.watch.look()
    (slot,) = streams.slots.open_slots()
    slot.cut = lambda: streams.cut.append("a")
    await streams.watch.look()
    assert streams.cut == ["a"]


async def test_the_watch_goes_on_after_a_fault() -> None:
    slots, cut, failures = StreamSlots(StreamLimits(9, 9)), asyncio.Event(), iter([ValueError("a fault of ours")] * 2)

    async def find_live(_session_ids: Collection[int]) -> set[int]:
        for failure in failures:
            raise failure
        return set()

    async def find_live_keys(_key_ids: Collection[int]) -> set[int]:
        return set()

    with slots.hold(UserId(7), None, is_resumable=True, session_id=3) as slot:
        slot.cut = cut.set
        running = asyncio.create_task(SessionWatch(slots, find_live, find_live_keys, every=0.001).run())
        async with asyncio.timeout(5):
            await cut.wait()
    running.cancel()
    await asyncio.wait([running])
