"""The relay: log → Server-Sent Events. It neither parses nor re-encodes frames. Source: docs/protocol.md §1."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.api.generations import event_ids
from services.api.problems import StreamCut
from shared import frames
from shared.errors import CortexAIError
from shared.generation import TERMINAL
from shared.ids import GenerationId, MessageId
from shared.streams.port import BEGINNING, Entry, Offset, Reader, Ring

PAGE: Final = 500
_LOG_FIRST: Final = Ring(missed=True)


@dataclass(frozen=True, slots=True)
class Source:
    """A generation to relay. `status` asks its row; None means that it is gone."""

    generation_id: GenerationId
    message_id: MessageId
    reader: Reader
    status: Callable[[], Awaitable[str | None]]


async def relay(source: Source, after: Offset) -> AsyncGenerator[bytes, None]:
    """Every frame past `after`, once and in order, until the terminal one: first what is logged, then live.

    Raises:
        StreamCut: it can't go on here: Redis or the database does not answer, or the log or the generation is gone.

    """
    yield frames.OPENING
    try:
        async with aclosing(_bodies(source, after)) as bodies:
            async for body in bodies:
                yield body
    except (CortexAIError, SQLAlchemyError, OSError) as error:
        raise StreamCut(type(error).__name__) from error


async def _bodies(source: Source, reached: Offset) -> AsyncGenerator[bytes, None]:
    async with source.reader.follow(source.generation_id) as doorbell:
        ring = _LOG_FIRST
        while True:
            entries = await _past(source, ring, reached)
            if entries:
                yield b"".join(event_ids.write(source.message_id, entry.offset) + entry.frame for entry in entries)
                reached = entries[-1].offset
                if entries[-1].terminal:
                    yield frames.DONE
                    return
            elif ring == Ring():
                yield frames.PING
            # A full page may not have been all of it.
            ring = _LOG_FIRST if len(entries) == PAGE else await doorbell.wait()


async def _past(source: Source, ring: Ring, reached: Offset) -> Sequence[Entry]:
    """The next frames: those that rang, if they are just the next ones; otherwise what the log says."""
    live = [entry for entry in ring.entries if entry.offset.sequence > reached.sequence]
    if live and not ring.missed and live[-1].offset.sequence == reached.sequence + len(live):
        return live
    if ring.entries and not live and not ring.missed:
        return ()
    logged = await source.reader.replay(source.generation_id, reached, limit=PAGE)
    if not logged and ring is not _LOG_FIRST:
        await _still_live(source)
    return logged


async def _still_live(source: Source) -> None:
    """Nothing new is logged: that is right while the generation is live, or until the sweep has closed its log.

    Raises:
        StreamCut: the generation is gone, or over and its log lost; a client that resumes gets 404, or it all from the row.

    """
    status = await source.status()
    if status is None:
        raise StreamCut("deleted")
    if status in TERMINAL and not await source.reader.replay(source.generation_id, BEGINNING, limit=1):
        raise StreamCut("log_lost")
