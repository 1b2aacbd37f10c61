"""Resuming: what a reader gets of a generation, given what the reader has.

This is decided before a response starts, since a stream can't change its status any more.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from services.api.generations import queries
from services.api.generations.queries import GenerationRow, GenerationState
from services.api.queue_positions import QueuePositions
from services.api.streaming.follow import ChatTitle, FollowedGeneration
from services.api.streaming.rebuild import rebuild
from services.api.streaming.restore import restore
from shared.database.engine import Database
from shared.errors import GenerationNotFound
from shared.generations import turn_order
from shared.ids import GenerationId
from shared.states import TERMINAL, GenerationStatus
from shared.streams.port import BEGINNING, Entry, Offset, Reader, Writer
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


class Saved(NamedTuple):
    """The log is gone. These entries, rebuilt from the row, are all that comes past `after`; the last is terminal."""

    entries: Sequence[Entry]
    after: Offset


class Live(NamedTuple):
    """The log is there, or will be: follow the generation past `after`."""

    generation: FollowedGeneration
    after: Offset


async def resume(
    database: Database,
    reader: Reader,
    writer: Writer,
    queue_positions: QueuePositions,
    generation: GenerationRow,
    has: Offset | None,
) -> Saved | Live | None:
    """What comes of a generation past the offset that a reader has. None when the reader has everything.

    `has` is None or BEGINNING for a reader who has nothing. The result's `after` is `has`, or BEGINNING when `has` is no
    offset of this log: then everything comes again, and the reader must forget what it has.

    Raises:
        GenerationNotFound: the generation was deleted a moment ago.
        StreamsUnavailable: the log can't be read now.

    """
    if has == BEGINNING:
        has = None
    if has is not None and has == Offset(generation.attempt, generation.final_sequence or 0):
        return None
    head = await reader.head(generation.id)
    if head is None and generation.status in TERMINAL:
        return await _from_row(database, generation, has)
    if generation.status == GenerationStatus.AWAITING_APPROVAL and _has_lost_its_end(generation, head):
        await restore(database, reader, writer, generation)
    if head is not None and head.terminal and has == head.offset:
        return None
    if head is not None and not head.terminal and generation.closed_at is not None:
        await _reopen(database, generation.id)
    after = has if has is not None and await _is_logged(reader, generation.id, has) else BEGINNING
    live = followed(database, reader, queue_positions, generation.id, tells_title=generation.awaits_title)
    return Live(live, after)


async def terminal_entry(database: Database, reader: Reader, generation: GenerationRow) -> Saved:
    """The last entry alone of a generation that is over, for a reader who has everything and has to be told so again.

    Raises:
        GenerationNotFound: the generation was deleted a moment ago.
        StreamsUnavailable: the log can't be read now.

    """
    head = await reader.head(generation.id)
    if head is not None and head.terminal:
        return Saved([head], head.offset)
    entries = await _rebuilt(database, generation)
    return Saved(entries[-1:], entries[-1].offset)


def followed(
    database: Database,
    reader: Reader,
    queue_positions: QueuePositions,
    generation_id: GenerationId,
    *,
    tells_title: bool = True,
) -> FollowedGeneration:
    """A generation to follow, with its row in this database. `tells_title`: its chat may be getting a title."""

    async def state() -> GenerationState | None:
        async with database.connect() as db:
            return await queries.find_state(db, generation_id)

    async def reopen() -> None:
        await _reopen(database, generation_id)

    async def position() -> int | None:
        return await queue_positions.position(generation_id)

    async def title() -> ChatTitle:
        try:
            async with database.connect() as db:
                return ChatTitle(*await queries.find_title(db, generation_id))
        except (SQLAlchemyError, OSError) as error:
            # The answer has been told to its end.
            log.warning("title_not_told", generation_id=str(generation_id), error=type(error).__name__)
            return ChatTitle(None, is_coming=False)

    return FollowedGeneration(generation_id, reader, state, reopen, position, title if tells_title else None)


def _has_lost_its_end(generation: GenerationRow, head: Entry | None) -> bool:
    """Whether the log of a generation that awaits an approval ends before the row says, or is gone."""
    return head is None or (generation.waits_at is not None and head.offset != generation.waits_at)


async def _reopen(database: Database, generation_id: GenerationId) -> None:
    """Have the sweep close a log once more: the row says that the log is closed, but Redis has lost the log's end."""
    log.warning("log_end_lost", generation_id=str(generation_id))
    async with database.connect() as db:
        await db.execute(turn_order.reopen(generation_id))


async def _is_logged(reader: Reader, generation_id: GenerationId, offset: Offset) -> bool:
    """Whether the log has an entry with just this offset."""
    found = await reader.replay(generation_id, Offset(offset.attempt, offset.sequence - 1), limit=1)
    return bool(found) and found[0].offset == offset


async def _from_row(database: Database, generation: GenerationRow, has: Offset | None) -> Saved | None:
    """What comes of a generation whose log is gone. A reader may have offsets of a log that was rebuilt before."""
    entries = await _rebuilt(database, generation)
    offsets = [entry.offset for entry in entries]
    if has is None or has not in offsets:
        return Saved(entries, BEGINNING)
    rest = entries[offsets.index(has) + 1 :]
    return Saved(rest, has) if rest else None


async def _rebuilt(database: Database, generation: GenerationRow) -> list[Entry]:
    """The log of a generation that is over, made again from its row.

    Raises:
        GenerationNotFound: the generation was deleted a moment ago.

    """
    async with database.connect() as db:
        ended = await queries.find_ended(db, generation.id)
    if ended is None:
        raise GenerationNotFound
    return rebuild(generation, ended)
