"""The log of a generation that awaits a person's approval, made whole again from its row, when it has expired or lost its end.

A person may take longer than a log lives. Unlike the log of a generation that is over (rebuild.py), this one is put into Redis
again: the reader has to see it grow, and the worker that goes on reads it.
"""

from typing import cast

from sqlalchemy import select, update

from services.api.generations.queries import GenerationRow
from shared.database.engine import Connection, Database
from shared.database.tables import Generation, Message
from shared.generations.opening import opening
from shared.protocol.catch_up import catch_up_parts
from shared.protocol.encoding import encode_all
from shared.protocol.message_parts import MessagePart, plain_parts
from shared.protocol.transcript import read
from shared.states import GenerationStatus
from shared.streams.opening import read_log
from shared.streams.port import Append, Log, Writer


async def restore(database: Database, stream_log: Log, writer: Writer, generation: GenerationRow) -> None:
    """Make the log whole again, as far as the reply goes. Of several who try at once, one does; the others' readers follow it.

    What is added gets an attempt of its own, since its offsets mean other frames than those that were lost.

    Raises:
        StreamsUnavailable: try again.

    """
    written = await read_log(stream_log, generation.id)
    async with database.begin() as db:
        taken = await _take(db, generation)
        if taken is None:
            return
        attempt, parts = taken
        added = encode_all([opening(generation.id, generation), *catch_up_parts(read(written), parts)])
        length = len(written) + len(added)
        await db.execute(update(Generation).where(Generation.id == generation.id).values(log_length=length))
    # In one append: a log with its beginning alone would not look as if it had lost anything. Where this is refused, the log
    # is there after all, or the worker goes on already.
    await writer.append([Append(generation.id, attempt, len(written), added, rewrites_opening=True)])


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
