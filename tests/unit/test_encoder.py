"""The native door's bytes: what is in the log goes out as it is, behind its event id."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from services.api.doors.encoder import encode
from services.api.generations.queries import GenerationState
from services.api.streaming.follow import FollowedGeneration, StreamCut
from services.api.streaming.resume import Live, Saved
from shared.errors import StreamsUnavailable
from shared.ids import GenerationId, MessageId, new_generation_id
from shared.streams.port import BEGINNING, Entry, Notification, Offset

MESSAGE = MessageId(42)
OPENING = b": open\nretry: 1000\nid: 42:0-0\n"


def frames_of(*texts: str, terminal: bool = True) -> list[Entry]:
    """Entries of an attempt, numbered from 1. The frames are no JSON: nobody looks into them."""
    last = len(texts)
    return [
        Entry(Offset(1, sequence), f"data: {text}\n\n".encode(), terminal=terminal and sequence == last)
        for sequence, text in enumerate(texts, start=1)
    ]


class Script:
    """A reader of a log that is empty at first, and its subscription: notifications come as they are written here."""

    def __init__(self, *notifications: Notification, error: StreamsUnavailable | None = None) -> None:
        self.notifications = list(notifications)
        self.error = error
        self.is_open = False

    @asynccontextmanager
    async def follow(self, _generation_id: GenerationId) -> AsyncIterator["Script"]:
        self.is_open = True
        yield self
        self.is_open = False

    async def keep(self, _generation_id: GenerationId) -> None:
        pass

    async def replay(self, _generation_id: GenerationId, _after: Offset, *, limit: int = 500) -> list[Entry]:
        assert limit
        return []

    async def head(self, _generation_id: GenerationId) -> Entry | None:
        return None

    async def wait(self) -> Notification:
        if not self.notifications and self.error:
            raise self.error
        return self.notifications.pop(0)

    async def is_notified(self, within: float) -> bool:
        assert within
        return True


RUNNING = GenerationState("running", is_closed=False)


async def body_of(script: Script, *, reset: bool = False, is_now: GenerationState = RUNNING) -> list[bytes]:
    """The chunks of a stream that is followed from its beginning."""

    async def state() -> GenerationState | None:
        return is_now

    async def nothing() -> None:
        return None

    generation = FollowedGeneration(new_generation_id(), script, state, nothing, nothing)
    return [chunk async for chunk in encode(Live(generation, BEGINNING), MESSAGE, reset=reset)]


async def test_frames_go_out_behind_their_ids_until_the_terminal_one() -> None:
    one, two, three = frames_of("one", "two", "three")
    script = Script(Notification((one,)), Notification((two, three)))
    assert await body_of(script) == [
        OPENING,
        b"id: 42:1-1\ndata: one\n\n",
        b"id: 42:1-2\ndata: two\n\nid: 42:1-3\ndata: three\n\ndata: [DONE]\n\n",
    ]
    assert not script.is_open


async def test_what_is_in_no_log_has_no_id() -> None:
    (end,) = frames_of("end")
    script = Script(
        Notification(transient_frames=(b"data: a\n\n", b"data: b\n\n")), Notification(), Notification((end,))
    )
    assert (await body_of(script))[1:3] == [b"data: a\n\ndata: b\n\n", b": ping\n"]


async def test_a_client_that_has_what_is_not_in_the_log_is_told_first() -> None:
    (end,) = frames_of("end")
    first = (await body_of(Script(Notification((end,))), reset=True))[0]
    assert first == OPENING + b'data: {"type":"data-reset","data":{},"transient":true}\n\n'


async def test_a_stream_that_can_not_go_on_is_cut_and_left() -> None:
    script = Script(Notification(tuple(frames_of("one", terminal=False))), error=StreamsUnavailable())
    with pytest.raises(StreamCut, match="StreamsUnavailable"):
        await body_of(script)


async def test_a_reader_of_an_answer_that_waits_is_cut_where_the_log_has_lost_what_it_lacks() -> None:
    one = Notification(tuple(frames_of("one", terminal=False)))
    waits = GenerationState("awaiting_approval", is_closed=False, waits_at=Offset(1, 2))
    with pytest.raises(StreamCut, match="log_end_lost"):
        await body_of(Script(one, Notification()), is_now=waits)


async def test_a_reader_who_has_all_of_an_answer_that_waits_reads_on_though_the_log_is_gone() -> None:
    one, end = frames_of("one", "end")
    waits = GenerationState("awaiting_approval", is_closed=False, waits_at=Offset(1, 1))
    script = Script(Notification((one,)), Notification(), Notification((end,)))
    assert b": ping\n" in await body_of(script, is_now=waits)


@pytest.mark.parametrize("entries", [frames_of("only"), frames_of("one", "two", "three")], ids=len)
async def test_a_saved_stream_has_the_form_of_a_live_one(entries: Sequence[Entry]) -> None:
    saved = [chunk async for chunk in encode(Saved(entries, BEGINNING), MESSAGE, reset=False)]
    assert saved == await body_of(Script(Notification(tuple(entries))))
