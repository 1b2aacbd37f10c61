"""Writing to PostgreSQL what must not be lost, through a restart of it."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import Final

from sqlalchemy import Insert
from sqlalchemy.exc import SQLAlchemyError

from shared import usage
from shared.database.engine import Connection, Database, is_transient
from shared.errors import AttemptSuperseded
from shared.generations.claim import Claimed
from shared.generations.finish import ModelUsage
from shared.ids import GenerationId
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

RETRY_AFTER: Final = (0.1, 0.3)
RETRY_EVERY: Final = 0.5
PATIENCE: Final = 15.0
"""Seconds: through a restart of PostgreSQL, but not longer than a worker that is told to leave may take for it."""


async def persist(
    database: Database,
    write: Callable[[Connection], Awaitable[bool]],
    *,
    claimed: Claimed,
    generation_id: GenerationId,
    call: ModelUsage | None,
    in_transaction: bool = True,
    patience: float = PATIENCE,
) -> None:
    """Write what this attempt has, and what the model call before it took, again and again if the database does not answer.

    It is one transaction, or without `in_transaction` one statement; it may happen twice, if the answer to the first was lost.
    What the call took is noted when nothing can be written as well. `patience` is in seconds.

    Raises:
        AttemptSuperseded: the generation is not this attempt's any more.

    """
    tries = 0

    async def tried(db: Connection) -> bool:
        nonlocal tries
        tries += 1
        return await write(db)

    try:
        written = await _insist(database, tried, in_transaction=in_transaction, patience=patience)
    except asyncio.CancelledError:
        if not tries:
            await note_lost_call(database, claimed, generation_id, call)
        raise
    if not written:
        if tries == 1:  # of several, one may have been written whose answer was lost, and its call with it
            await note_lost_call(database, claimed, generation_id, call)
        raise AttemptSuperseded("The generation is not this attempt's any more.")


async def _insist(
    database: Database, write: Callable[[Connection], Awaitable[bool]], *, in_transaction: bool, patience: float
) -> bool:
    give_up_at = asyncio.get_running_loop().time() + patience
    for wait in chain(RETRY_AFTER, repeat(RETRY_EVERY)):
        try:
            async with database.begin() if in_transaction else database.connect() as db:
                return await write(db)
        except SQLAlchemyError as error:
            if asyncio.get_running_loop().time() >= give_up_at or not is_transient(error):
                raise
            log.warning("save_failed", error=type(error).__name__)
            await asyncio.sleep(wait)
    raise AssertionError("each try returns, raises or is followed by another")


def spent(claimed: Claimed, generation_id: GenerationId, call: ModelUsage) -> Insert:
    """Note what a model call of this generation took."""
    return usage.record(
        claimed.user_id,
        "generation",
        call.model,
        call.usage,
        chat_id=claimed.chat_id,
        generation_id=generation_id,
        is_estimate=call.is_estimate,
    )


async def note_lost_call(
    database: Database, claimed: Claimed, generation_id: GenerationId, taken: ModelUsage | None
) -> None:
    """Note what a model call took whose text nobody wanted any more: it is paid for all the same. Never raises."""
    if taken is None:
        return
    try:
        async with database.connect() as db:
            await db.execute(spent(claimed, generation_id, taken))
    except SQLAlchemyError as error:  # the account may be gone, or the database
        log.warning("usage_not_noted", error=type(error).__name__)
