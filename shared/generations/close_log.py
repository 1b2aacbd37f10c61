"""Closing the log of a generation that is over, by whoever ended the generation without writing its log, or found it open.

The row is terminal before. A new attempt fences off the writer, if there still is one; what readers have by then is saved;
then the terminal frame goes out. Anybody may repeat each step after a death in between.
"""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import Update, func, literal, select, update

from shared.database.engine import Database
from shared.database.tables import Message
from shared.errors import AppendRefused, LogClosed
from shared.generations.cancel import OpenGeneration
from shared.generations.outcome import Outcome
from shared.generations.tell_end import tell_end
from shared.generations.turn_order import QueuedGeneration, mark_closed
from shared.ids import GenerationId, MessageId
from shared.protocol import frames
from shared.protocol.catch_up import catch_up_parts, catch_up_text
from shared.protocol.encoding import encode_all
from shared.protocol.frames import Frame
from shared.protocol.message_parts import MessagePart, Source
from shared.protocol.transcript import Transcript, read
from shared.states import GenerationStatus
from shared.streams.feed.publisher import FeedPublisher
from shared.streams.opening import open_attempt
from shared.streams.port import Append, Log, Offset, Writer


@dataclass(frozen=True, slots=True)
class Closed:
    """Where the log ends (None: the log is gone), and the generation that was queued next, whose job is to be sent."""

    final: Offset | None
    due: QueuedGeneration | None = None


async def close_log(
    database: Database,
    writer: Writer,
    stream_log: Log,
    feed: FeedPublisher,
    generation: OpenGeneration,
    outcome: Outcome,
) -> Closed:
    """Close the log, and save what the log has of the reply beyond the row. Tell the user's readers.

    Raises:
        AppendRefused: somebody else is closing the log.
        StreamsUnavailable: nothing is lost; try again.

    """
    try:
        final = await _append_end(database, writer, stream_log, generation, outcome)
    except LogClosed:
        head = await stream_log.head(generation.id)
        final = head.offset if head else Offset(generation.attempt, 0)
    if not generation.is_hidden:
        await tell_end(feed, generation.user_id, generation.chat_id, generation.id, generation.message_id, outcome)
    async with database.connect() as db:
        due = await mark_closed(db, generation.id, final.attempt, final.sequence or None)
    return Closed(final if final.sequence else None, due)


async def _append_end(
    database: Database, writer: Writer, stream_log: Log, generation: OpenGeneration, outcome: Outcome
) -> Offset:
    attempt = generation.attempt + 1
    written = await open_attempt(writer, stream_log, generation.id, attempt, generation.opening())
    transcript = read(written)
    content = _final_content(generation, outcome, transcript)
    ending = catch_up_parts(transcript, await _saved_parts(database, generation))
    for frame in ending:
        transcript.take(frame)
    for frame in (missing := catch_up_text(transcript, content)):
        transcript.take(frame)
    ending += missing
    closing = transcript.closing()
    for frame in closing:
        transcript.take(frame)
    if content != generation.content or (outcome.status != GenerationStatus.COMPLETED and transcript.parts()):
        async with database.connect() as db:
            await db.execute(save_text(generation.message_id, content, transcript.parts(), transcript.sources))
    ending += [*closing, *outcome.frames()]
    return Offset(attempt, await _append(writer, generation.id, attempt, len(written), ending))


async def _saved_parts(database: Database, generation: OpenGeneration) -> list[MessagePart]:
    """The parts that a pause or the worker's end has saved, of which the log may lack some; none where none are saved."""
    async with database.connect() as db:
        saved = await db.execute(select(Message.parts).where(Message.id == generation.message_id))
    return cast("list[MessagePart]", saved.scalar_one_or_none() or [])


async def abandon_log(writer: Writer, stream_log: Log, generation: OpenGeneration) -> None:
    """Close the log of a generation whose row is gone: readers get an `abort` frame, the worker is fenced off.

    Raises:
        AppendRefused: the log is closed, or a later attempt is opening it.
        StreamsUnavailable: the worker and the readers will find out by the row's absence.

    """
    attempt = generation.attempt + 1
    written = await open_attempt(writer, stream_log, generation.id, attempt, generation.opening())
    ending = [*read(written).closing(), *frames.aborted("deleted")]
    await _append(writer, generation.id, attempt, len(written), ending)


async def _append(writer: Writer, generation_id: GenerationId, attempt: int, after: int, ending: list[Frame]) -> int:
    """Append the last frames. Returns the sequence of the terminal one."""
    (answer,) = await writer.append([Append(generation_id, attempt, after, encode_all(ending), terminal=True)])
    if isinstance(answer, AppendRefused):
        raise answer
    return answer


def _final_content(generation: OpenGeneration, outcome: Outcome, transcript: Transcript) -> str:
    """The reply's text: what readers have seen, or what is saved where that says more."""
    if outcome.status == GenerationStatus.COMPLETED or generation.content.startswith(transcript.text):
        return generation.content
    return transcript.text


def save_text(
    message_id: MessageId, content: str, parts: list[MessagePart] | None = None, sources: list[Source] | None = None
) -> Update:
    """Save what readers have seen of a reply whose generation ended without the worker that wrote the reply.

    Parts that the worker has saved stay: they have all that the worker wrote, while a log may lack its end.
    """
    statement = update(Message).where(Message.id == message_id).values(content=content)
    for column, seen in ((Message.parts, parts), (Message.sources, sources)):
        if seen:
            statement = statement.values({column: func.coalesce(column, literal(seen, column.type))})
    return statement
