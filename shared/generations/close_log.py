"""Closing the log of a generation that is over, by whoever ended it without writing it, or found it left open.

The row is terminal before this begins. A new attempt fences the writer off, if there still is one; what readers have by
then is saved; then the terminal frame goes out. Each step may be repeated, by anybody, after a death in between.
"""

from dataclasses import dataclass

from shared.database.engine import Database
from shared.errors import AppendRefused, LogClosed
from shared.generations import lifecycle
from shared.ids import GenerationId, MessageId
from shared.protocol import frames
from shared.protocol.frames import FinishReason
from shared.protocol.transcript import Transcript, catch_up_text, read
from shared.states import GenerationStatus
from shared.streams.opening import open_attempt
from shared.streams.port import Append, Log, Offset, Writer


@dataclass(frozen=True, slots=True)
class Ended:
    """What the row of a terminal generation says. `attempt` is the last one that had it."""

    generation_id: GenerationId
    message_id: MessageId
    attempt: int
    status: GenerationStatus
    content: str
    finish_reason: FinishReason | None = None
    error_code: str | None = None
    error_message: str | None = None
    usage: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """Where the log ends, and the generation whose turn came with that: it is queued, and wants to be sent."""

    final: Offset | None
    due: GenerationId | None = None


async def close_log(database: Database, writer: Writer, stream_log: Log, ended: Ended) -> Closed:
    """Close the log, and save what it has of the reply beyond the row.

    Raises:
        AppendRefused: somebody else is closing it.
        StreamsUnavailable: nothing is lost; try again.

    """
    try:
        final = await _close(database, writer, stream_log, ended)
    except LogClosed:
        head = await stream_log.head(ended.generation_id)
        final = head.offset if head else Offset(ended.attempt, 0)
    async with database.connect() as db:
        due = await lifecycle.close(db, ended.generation_id, final.attempt, final.sequence or None)
    return Closed(final if final.sequence else None, due)


async def _close(database: Database, writer: Writer, stream_log: Log, ended: Ended) -> Offset:
    attempt = ended.attempt + 1
    opening = frames.start(ended.message_id, ended.generation_id)
    written = await open_attempt(writer, stream_log, ended.generation_id, attempt, opening)
    transcript = read(written)
    content = _content(ended, transcript)
    parts = catch_up_text(transcript, content)
    for part in parts:
        transcript.take(part)
    if content != ended.content or (ended.status != GenerationStatus.COMPLETED and transcript.parts()):
        async with database.connect() as db:
            await db.execute(
                lifecycle.save_text(ended.message_id, content, transcript.parts(), transcript.sources or None)
            )
    parts += transcript.ending()
    parts += frames.ending(
        ended.status,
        finish_reason=ended.finish_reason,
        error_code=ended.error_code,
        error_message=ended.error_message,
        usage=ended.usage,
    )
    return Offset(attempt, await _append(writer, ended.generation_id, attempt, len(written), parts))


async def abandon_log(
    writer: Writer, stream_log: Log, generation_id: GenerationId, message_id: MessageId, attempt: int
) -> None:
    """Close the log of a generation whose row is gone: its readers are told, its worker is fenced off.

    Raises:
        AppendRefused: it is closed, or a later attempt is opening it.
        StreamsUnavailable: the worker and the readers will find out by the row's absence.

    """
    opening = frames.start(message_id, generation_id)
    written = await open_attempt(writer, stream_log, generation_id, attempt + 1, opening)
    parts = [*read(written).ending(), frames.abort("deleted")]
    await _append(writer, generation_id, attempt + 1, len(written), parts)


async def _append(
    writer: Writer, generation_id: GenerationId, attempt: int, after: int, parts: list[frames.Part]
) -> int:
    """Append the last parts. Returns the last one's sequence."""
    last = tuple(frames.encode(part) for part in parts)
    (answer,) = await writer.append([Append(generation_id, attempt, after, last, terminal=True)])
    if isinstance(answer, AppendRefused):
        raise answer
    return answer


def _content(ended: Ended, transcript: Transcript) -> str:
    """What the reply is: what readers have seen of it, or what is saved of it where that says more."""
    if ended.status == GenerationStatus.COMPLETED or ended.content.startswith(transcript.text):
        return ended.content
    return transcript.text
