"""The relay: log → Server-Sent Events. It neither parses nor re-encodes frames. Source: docs/protocol.md §1."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.api.doors.native import event_ids
from services.api.generations.queries import GenerationState
from shared.errors import CortexAIError
from shared.ids import GenerationId, MessageId
from shared.protocol import encoding, frames
from shared.states import TERMINAL
from shared.streams.port import BEGINNING, Entry, Notification, Offset, Reader, Subscription

PAGE: Final = 500
WAITING_EVERY: Final = 0.5
"""Seconds between two looks at where a generation stands in line."""
_LOG_FIRST: Final = Notification(missed=True)


class StreamCut(Exception):
    """A stream can't go on here. The exception ends the body without its end, so that the client knows to resume.

    The response has begun long before, so no handler can answer this exception.
    """


@dataclass(frozen=True, slots=True)
class FollowedGeneration:
    """A generation to relay.

    `state` asks its row; None means that it is gone. `reopen` has the log closed once more. `position` is its place in
    line, 0 behind its chat's live one, None when it does not wait.
    """

    generation_id: GenerationId
    message_id: MessageId
    reader: Reader
    state: Callable[[], Awaitable[GenerationState | None]]
    reopen: Callable[[], Awaitable[None]]
    position: Callable[[], Awaitable[int | None]]


async def relay(source: FollowedGeneration, after: Offset, *, anew: bool = False) -> AsyncGenerator[bytes, None]:
    """Every frame past `after`, once and in order, until the terminal one: first what is logged, then live.

    Until there is one, the client is told where the generation stands in line. `anew` tells it to forget what it has.

    Raises:
        StreamCut: it can't go on here: Redis or the database does not answer, or the log or the generation is gone.

    """
    yield encoding.OPENING + (encoding.RESET if anew else b"")
    try:
        async with aclosing(_bodies(source, after)) as bodies:
            async for body in bodies:
                yield body
    except (CortexAIError, SQLAlchemyError, OSError) as error:
        raise StreamCut(type(error).__name__) from error


async def _bodies(source: FollowedGeneration, reached: Offset) -> AsyncGenerator[bytes, None]:
    async with source.reader.follow(source.generation_id) as subscription:
        notification = _LOG_FIRST
        while True:
            if notification.transient_frames:
                yield b"".join(notification.transient_frames)
            entries = await _past(source, notification, reached)
            if entries:
                yield b"".join(event_ids.write(source.message_id, entry.offset) + entry.frame for entry in entries)
                reached = entries[-1].offset
                if entries[-1].terminal:
                    yield encoding.DONE
                    return
            elif notification == Notification():
                yield encoding.PING
            if reached == BEGINNING:
                async for waiting in _in_line(source, subscription):
                    yield waiting
            # A full page may not have been all of it.
            notification = _LOG_FIRST if len(entries) == PAGE else await subscription.wait()


async def _in_line(source: FollowedGeneration, subscription: Subscription) -> AsyncGenerator[bytes, None]:
    """Where the generation stands, whenever that changes, until the subscription has something to tell."""
    told = None
    while not await subscription.is_notified(WAITING_EVERY):
        position = await source.position()
        if position is not None and position != told:
            status: frames.StatusData = {"status": "waiting"}
            if position:
                status = {"status": "queued", "position": position}
            yield encoding.encode(frames.status(status))
            told = position


async def _past(source: FollowedGeneration, notification: Notification, reached: Offset) -> Sequence[Entry]:
    """The next frames: those that rang, if they are just the next ones; otherwise what the log says.

    Raises:
        StreamCut: the log is not the one that was relayed so far; a client that resumes gets it all again.

    """
    live = [entry for entry in notification.entries if entry.offset.sequence > reached.sequence]
    if live and not notification.missed and _follows(reached, live):
        return live
    if (
        notification.entries
        and not live
        and not notification.missed
        and notification.entries[-1].offset.attempt == reached.attempt
    ):
        return ()  # an earlier part of the log, written again
    if notification.transient_frames and not notification.entries and not notification.missed:
        return ()  # nothing of the log
    if reached == BEGINNING:
        logged = await source.reader.replay(source.generation_id, BEGINNING, limit=PAGE)
    else:
        # With the last one sent: Redis may have lost it, and a later attempt have written another in its place.
        before = Offset(reached.attempt, reached.sequence - 1)
        logged = await source.reader.replay(source.generation_id, before, limit=PAGE + 1)
        if logged and logged[0].offset != reached:
            raise StreamCut("log_changed")
        logged = logged[1:]
    if not logged and notification is not _LOG_FIRST:
        await _still_there(source, reached)
    return logged


def _follows(reached: Offset, live: Sequence[Entry]) -> bool:
    """Whether live frames are the next ones, of the attempt that was relayed so far."""
    last = live[-1].offset
    return last.sequence == reached.sequence + len(live) and (reached == BEGINNING or last.attempt == reached.attempt)


async def _still_there(source: FollowedGeneration, reached: Offset) -> None:
    """Nothing new is logged: that is right while the generation is live, or until the sweep has closed its log.

    Raises:
        StreamCut: the generation is gone; or over and its log lost; or the log has begun anew, behind what was relayed.

    """
    state = await source.state()
    if state is None:
        raise StreamCut("deleted")
    head = await source.reader.head(source.generation_id)
    if head is None:
        if state.status in TERMINAL:
            raise StreamCut("log_lost")
        return
    if state.closed and not head.terminal:
        await source.reopen()
    behind = head.offset.sequence <= reached.sequence
    if behind and (head.terminal or head.offset.attempt > reached.attempt):
        raise StreamCut("log_changed")
