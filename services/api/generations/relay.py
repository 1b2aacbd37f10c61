"""The relay: log → Server-Sent Events. It neither parses nor re-encodes frames. Source: docs/protocol.md §1."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from services.api.generations import event_ids
from shared import frames
from shared.errors import StreamCut
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

    Ends without a terminal frame only by raising: then the connection is cut, and the client knows to resume.

    Raises:
        StreamsUnavailable: the log can't be read.
        StreamCut: the log or the generation is gone.

    """
    yield frames.OPENING
    reached = after
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
        await _still_live(source, reached)
    return logged


async def _still_live(source: Source, reached: Offset) -> None:
    """Nothing new is logged: that is right while the generation is live, or until the sweep has closed its log.

    Raises:
        StreamCut: the generation is gone, or over and its log lost; a client that resumes gets 404, or it all from the row.

    """
    status = await source.status()
    if status is None:
        raise StreamCut
    if status in TERMINAL and not await source.reader.replay(source.generation_id, BEGINNING, limit=1):
        raise StreamCut(f"The log was lost after frame {reached}.")
