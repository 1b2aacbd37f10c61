"""Receipts: what is final of a generation that is over."""

import asyncio
from typing import Final

from services.api import event_ids
from services.api.generations.queries import GenerationRow
from services.api.generations.schemas import Receipt
from shared.errors import StreamsUnavailable
from shared.streams.port import Offset, Reader

CLOSED_WITHIN: Final = 2.0
"""Seconds that a receipt waits for the terminal frame."""


async def make_receipt(reader: Reader, generation: GenerationRow) -> Receipt:
    """The receipt of a generation whose row is terminal. Waits a short time for the end of its log."""
    final = await _find_final(reader, generation)
    return Receipt(
        id=generation.id,
        chat_id=generation.chat_id,
        message_id=generation.assistant_message_id,
        status=generation.status,
        sequence=final.sequence if final else None,
        last_event_id=event_ids.text(generation.assistant_message_id, final) if final else None,
    )


async def _find_final(reader: Reader, generation: GenerationRow) -> Offset | None:
    """The terminal frame's offset; None when the log was lost, or is not closed in time."""
    if generation.closed_at is not None:
        return Offset(generation.attempt, generation.final_sequence) if generation.final_sequence else None
    try:
        async with asyncio.timeout(CLOSED_WITHIN), reader.follow(generation.id) as subscription:
            while (head := await reader.head(generation.id)) is None or not head.terminal:
                await subscription.wait()
            return head.offset
    except (TimeoutError, StreamsUnavailable):
        return None
