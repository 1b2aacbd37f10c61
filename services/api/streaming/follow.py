"""Following a generation: every frame of its log, once and in order, first from the log, then live.

Frames are not parsed and not encoded again: what the worker wrote into the log goes to the reader as the same bytes.
What a reader may rely on: docs/protocol.md §1.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from services.api.generations.queries import GenerationState
from shared.errors import CortexAIError, StreamsUnavailable
from shared.ids import GenerationId
from shared.protocol import frames
from shared.protocol.encoding import encode, is_title
from shared.states import TERMINAL
from shared.streams.port import BEGINNING, Entry, Notification, Offset, Reader, Subscription

PAGE: Final = 500
"""How many entries are read from the log at a time."""
POSITION_EVERY: Final = 0.5
"""Seconds between two looks at a generation's queue position."""
TITLE_WITHIN: Final = 1.0
"""Seconds for which a stream stays open behind its terminal frame while a model makes the chat's title."""
_READ_LOG: Final = Notification(missed=True)


class StreamCut(Exception):
    """A stream can't go on here. The exception ends the body without its end, so that the client knows to resume.

    The response has begun long before, so no handler can answer this exception.
    """


class Logged(NamedTuple):
    """The next entries of the log, at least one. The stream is over when the last one is terminal."""

    entries: Sequence[Entry]


class Transient(NamedTuple):
    """Frames that are in no log. They have no offset."""

    frames: Sequence[bytes]


class InQueue(NamedTuple):
    """No worker has the generation yet. `position` counts from 1; with 0 it waits for its chat's live generation."""

    position: int


class Quiet(NamedTuple):
    """Nothing has come for the keep-alive interval."""


StreamEvent = Logged | Transient | InQueue | Quiet


class ChatTitle(NamedTuple):
    """The title that a model has made for a generation's chat; None where it has not. `is_coming`: it may, any moment."""

    text: str | None
    is_coming: bool


@dataclass(frozen=True, slots=True)
class FollowedGeneration:
    """A generation to follow.

    `state` reads its row; None means that the row is gone. `reopen` has its log closed once more. `position` is its
    queue position, as `InQueue` has it, or None when it is in no queue. `title` reads its chat's title; None where no
    title has to be told at the end.
    """

    generation_id: GenerationId
    reader: Reader
    state: Callable[[], Awaitable[GenerationState | None]]
    reopen: Callable[[], Awaitable[None]]
    position: Callable[[], Awaitable[int | None]]
    title: Callable[[], Awaitable[ChatTitle]] | None = None


async def follow(generation: FollowedGeneration, after: Offset) -> AsyncGenerator[StreamEvent, None]:
    """What happens to a generation past an offset, until its terminal frame. No frame is lost, doubled or reordered.

    A title that the chat gets comes too, if it has to behind the terminal frame. Holds no database connection while it
    waits. Its user closes it (`contextlib.aclosing`).

    Raises:
        StreamCut: Redis or the database does not answer, or the log or the generation is gone.

    """
    reached = after
    title_told = generation.title is None
    try:
        async with generation.reader.follow(generation.generation_id) as subscription:
            notification = _READ_LOG
            while True:
                if notification.transient_frames:
                    title_told = title_told or any(map(is_title, notification.transient_frames))
                    yield Transient(notification.transient_frames)
                entries = await _next_entries(generation, notification, reached)
                if entries:
                    yield Logged(entries)
                    reached = entries[-1].offset
                    if entries[-1].terminal:
                        if not title_told and (told := await _find_title(generation, subscription)):
                            yield Transient(told)
                        return
                elif notification == Notification():
                    # A person may take longer to decide than a log lives. Whoever follows it needs its offsets to stay.
                    with suppress(StreamsUnavailable):
                        await generation.reader.keep(generation.generation_id)
                    yield Quiet()
                if reached == BEGINNING:
                    async for in_queue in _queue_positions(generation, subscription):
                        yield in_queue
                # After a full page the log may have more.
                notification = _READ_LOG if len(entries) == PAGE else await subscription.wait()
    except (CortexAIError, SQLAlchemyError, OSError) as error:
        raise StreamCut(type(error).__name__) from error


async def _find_title(generation: FollowedGeneration, subscription: Subscription) -> Sequence[bytes]:
    """The frames that tell the chat's new title. Waits for it a moment: a short answer ends before the title is there."""
    title = await generation.title() if generation.title else ChatTitle(None, is_coming=False)
    if title.text is not None:
        return (encode(frames.title(title.text)),)
    try:
        async with asyncio.timeout(TITLE_WITHIN):
            while title.is_coming:
                if told := tuple(filter(is_title, (await subscription.wait()).transient_frames)):
                    return told
    except TimeoutError:
        pass
    return ()


async def _queue_positions(generation: FollowedGeneration, subscription: Subscription) -> AsyncGenerator[InQueue, None]:
    """The generation's queue position, each time that it changes, until the subscription has a notification."""
    last = None
    while not await subscription.is_notified(POSITION_EVERY):
        position = await generation.position()
        if position is not None and position != last:
            yield InQueue(position)
            last = position


async def _next_entries(generation: FollowedGeneration, notification: Notification, reached: Offset) -> Sequence[Entry]:
    """The entries past `reached`: those of the notification if they are the next ones, else those of the log.

    Raises:
        StreamCut: this is not the log that was followed so far. A client that resumes gets all of it again.

    """
    live = [entry for entry in notification.entries if entry.offset.sequence > reached.sequence]
    if live and not notification.missed and _are_next(live, reached):
        return live
    if (
        notification.entries
        and not live
        and not notification.missed
        and notification.entries[-1].offset.attempt == reached.attempt
    ):
        return ()  # the worker has written an earlier part of the log again
    if notification.transient_frames and not notification.entries and not notification.missed:
        return ()
    if reached == BEGINNING:
        logged = await generation.reader.replay(generation.generation_id, BEGINNING, limit=PAGE)
    else:
        # The last entry sent is read again: Redis may have lost it, and a later attempt may have put another there.
        before = Offset(reached.attempt, reached.sequence - 1)
        logged = await generation.reader.replay(generation.generation_id, before, limit=PAGE + 1)
        if logged and logged[0].offset != reached:
            raise StreamCut("log_changed")
        logged = logged[1:]
    if not logged and notification is not _READ_LOG:
        await _check_alive(generation, reached)
    return logged


def _are_next(live: Sequence[Entry], reached: Offset) -> bool:
    """Whether live entries come right after `reached`, and are of the attempt that was followed so far."""
    last = live[-1].offset
    return last.sequence == reached.sequence + len(live) and (reached == BEGINNING or last.attempt == reached.attempt)


async def _check_alive(generation: FollowedGeneration, reached: Offset) -> None:
    """Make sure that more can come. The log has nothing new; it may while the generation is live, or is not closed yet.

    Raises:
        StreamCut: the generation is gone; or it is over and its log is lost; or the log has begun again.

    """
    state = await generation.state()
    if state is None:
        raise StreamCut("deleted")
    head = await generation.reader.head(generation.generation_id)
    if state.waits_at not in {None, reached} and (head is None or head.offset != state.waits_at):
        raise StreamCut("log_end_lost")  # it is made again for a client that resumes
    if head is None:
        if state.status in TERMINAL:
            raise StreamCut("log_lost")
        return
    if state.is_closed and not head.terminal:
        await generation.reopen()
    is_behind = head.offset.sequence <= reached.sequence
    if is_behind and (head.terminal or head.offset.attempt > reached.attempt):
        raise StreamCut("log_changed")
