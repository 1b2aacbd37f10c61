"""Stopping on request, with a receipt."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Row

from services.api.doors.native import event_ids
from services.api.generations import queries
from services.api.generations.cancellation import end_cancelled
from services.api.generations.schemas import Receipt
from services.api.resources import Resources
from shared.errors import StreamsUnavailable
from shared.generations.cancel import cancel as cancel_generations
from shared.ids import GenerationId, MessageId
from shared.streams.port import Offset

END_WITHIN: Final = 2.0


async def cancel(resources: Resources, *which: ColumnElement[bool]) -> list[GenerationId]:
    """Cancel open generations, waiting ones too. Returns their ids, when their logs are closed or the sweep is to do it."""
    async with resources.database.connect() as db:
        cancelled = await cancel_generations(db, *which)
    await end_cancelled(resources, cancelled)
    return [interrupted.id for interrupted in cancelled]


async def receipts(resources: Resources, generation_ids: Sequence[GenerationId]) -> list[Receipt]:
    """What is final of these generations."""
    async with resources.database.connect() as db:
        rows = await queries.find_many(db, generation_ids)
    return [await receipt(resources, row) for row in rows]


async def receipt(resources: Resources, row: Row[Any]) -> Receipt:
    """What is final of a generation that is over."""
    final = await _final(resources, row)
    return Receipt(
        id=row.id,
        chat_id=row.chat_id,
        message_id=row.assistant_message_id,
        status=row.status,
        sequence=final.sequence if final else None,
        last_event_id=event_ids.text(MessageId(row.assistant_message_id), final) if final else None,
    )


async def _final(resources: Resources, row: Row[Any]) -> Offset | None:
    """The terminal frame's offset; None when the log was lost, or is not closed in time."""
    if row.closed_at is not None:
        return Offset(row.attempt, row.final_sequence) if row.final_sequence else None
    generation_id = GenerationId(row.id)
    try:
        async with asyncio.timeout(END_WITHIN), resources.streams.reader.follow(generation_id) as subscription:
            while (head := await resources.streams.reader.head(generation_id)) is None or not head.terminal:
                await subscription.wait()
            return head.offset
    except (TimeoutError, StreamsUnavailable):
        return None
