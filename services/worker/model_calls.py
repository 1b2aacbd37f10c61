"""What model calls took, noted in rows that are written by themselves and not together with what came of the call."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.worker.models.answer import Answer, whole_answer
from services.worker.models.port import ChatModel, ModelRequest
from services.worker.models.usage_meter import UsageMeter
from shared import usage
from shared.database.engine import Database
from shared.errors import ModelError
from shared.ids import ChatId, GenerationId, UserId
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics
from shared.token_usage import ModelUsage

log = get_logger(__name__)

LEAVING_SECONDS: Final = 2.0
"""How long a call that is cancelled may take to be noted: a worker that leaves waits for it."""


async def note_call(
    database: Database,
    metrics: Metrics,
    user_id: UserId,
    purpose: usage.Purpose,
    call: ModelUsage,
    *,
    chat_id: ChatId,
    generation_id: GenerationId | None = None,
) -> None:
    """Note what a model call took, whether its answer is of use or not, and count it. Never raises."""
    metrics.tokens(call.model, call.usage)
    try:
        async with database.connect() as db:
            await db.execute(usage.record(user_id, purpose, call, chat_id=chat_id, generation_id=generation_id))
    except SQLAlchemyError as error:  # the account may be gone, or the database
        log.warning("usage_not_noted", purpose=purpose, error=type(error).__name__)


async def noted_answer(
    database: Database,
    metrics: Metrics,
    model: ChatModel,
    request: ModelRequest,
    user_id: UserId,
    purpose: usage.Purpose,
    *,
    chat_id: ChatId,
    within: float,
) -> Answer:
    """As `whole_answer`. What each try took is noted, also of an answer that fails after it began or is cancelled.

    Raises:
        ModelError: one of its kinds.

    """

    async def note(calls: Iterable[ModelUsage]) -> None:
        for call in calls:
            await note_call(database, metrics, user_id, purpose, call, chat_id=chat_id)

    meter = UsageMeter.of(request)
    try:
        answer = await whole_answer(model, request, meter, within=within)
    except ModelError as failure:
        await note(meter.ended if meter.is_free_after(failure) else [*meter.ended, meter.usage()])
        raise
    except asyncio.CancelledError:
        # Cancellations are repeated where they may have got lost. Another one ends the waiting, not the noting.
        with suppress(TimeoutError):
            await asyncio.shield(asyncio.wait_for(note([*meter.ended, meter.usage()]), LEAVING_SECONDS))
        raise
    await note([*meter.ended, meter.usage()])
    return answer
