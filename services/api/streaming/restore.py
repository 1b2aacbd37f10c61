"""The log of a generation that awaits a person's approval, made again from its row, when the log has expired or was lost.

A person may take longer than a log lives. Unlike the log of a generation that is over (rebuild.py), this one is put into Redis
again: the reader has to see it grow, and the worker that goes on reads it.
"""

from typing import cast

from sqlalchemy import select, update

from services.api.generations.queries import GenerationRow
from shared.database.engine import Connection, Database
from shared.database.tables import Generation, Message
from shared.protocol import frames
from shared.protocol.catch_up import parts_to_frames
from shared.protocol.encoding import encode_all
from shared.protocol.message_parts import MessagePart, plain_parts
from shared.states import GenerationStatus
from shared.streams.port import Append, Writer


async def restore(database: Database, writer: Writer, generation: GenerationRow) -> None:
    """Make the log again, as far as the reply goes. Of several who try at once, one does; the others' readers follow it.

    The log gets an attempt of its own, since its offsets mean other frames than those of the log that was lost.

    Raises:
        StreamsUnavailable: try again.

    """
    async with database.begin() as db:
        taken = await _take(db, generation)
    if taken is None:
        return
    attempt, parts = taken
    start = frames.start(
        generation.assistant_message_id,
        generation.id,
        user_message_id=generation.user_message_id,
        chat_id=generation.chat_id,
    )
    opening, *rest = encode_all([start, *parts_to_frames(parts)])
    (answer,) = await writer.append([Append(generation.id, attempt, None, (opening,))])
    if answer == 1:  # else the log is there after all, or the worker goes on already
        await writer.append([Append(generation.id, attempt, 1, tuple(rest))])


async def _take(db: Connection, generation: GenerationRow) -> tuple[int, list[MessagePart]] | None:
    """A new attempt at a generation that still waits, and the parts of its reply; None where somebody else was quicker."""
    moved = (
        update(Generation)
        .where(
            Generation.id == generation.id,
            Generation.attempt == generation.attempt,
            Generation.status == GenerationStatus.AWAITING_APPROVAL,
        )
        .values(attempt=Generation.attempt + 1)
        .returning(Generation.attempt)
    )
    attempt = (await db.execute(moved)).scalar_one_or_none()
    if attempt is None:
        return None
    saved = select(Message.content, Message.parts).where(Message.id == generation.assistant_message_id)
    content, parts = (await db.execute(saved)).one()
    return attempt, plain_parts(content) if parts is None else cast("list[MessagePart]", parts)
