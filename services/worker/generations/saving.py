"""Saving what an attempt has to PostgreSQL, so that a restart of PostgreSQL loses nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, repeat
from typing import Any, Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from services.worker.model_calls import note_call
from shared import usage
from shared.database.engine import Connection, Database, is_transient
from shared.errors import AttemptSuperseded
from shared.generations.approval import pause, resume
from shared.generations.claim import Claimed
from shared.generations.finish import FinishedReply, finish
from shared.generations.outcome import Outcome
from shared.generations.progress import forget_parts, note_rows, save_steps
from shared.generations.turn_order import QueuedGeneration
from shared.ids import GenerationId
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics
from shared.token_usage import ModelUsage, TokenUsage

log = get_logger(__name__)

RETRY_AFTER: Final = (0.1, 0.3)
RETRY_EVERY: Final = 0.5
PATIENCE: Final = 15.0
"""Seconds: longer than a restart of PostgreSQL takes, and shorter than the time that a worker gets for its end."""

Result = TypeVar("Result")
Write = Callable[[Connection], Awaitable[bool]]
"""Writes, and returns whether the generation still was this attempt's.

May run twice when an answer of the database is lost.
"""


@dataclass(frozen=True, slots=True)
class ReplyStore:
    """Saves the reply of one attempt and what its model calls took, and counts both."""

    database: Database
    metrics: Metrics
    generation_id: GenerationId
    claimed: Claimed

    async def save_steps(
        self,
        steps: list[dict[str, Any]],
        call: ModelUsage | None,
        *,
        purpose: usage.Purpose = "generation",
        has_rows: bool = False,
    ) -> None:
        """Save the steps together with the model call that asked for the newest step; None for no call.

        `has_rows`: the steps have rows of a user's database, which the chat will remember.

        Raises:
            AttemptSuperseded: another attempt has the generation, or the generation is over.

        """

        async def write(db: Connection) -> bool:
            if has_rows:
                # First, since everybody locks a chat before its generations. For an attempt that is refused, it is true, too.
                await db.execute(note_rows(self.claimed.chat_id))
            saved = await db.execute(save_steps(self.generation_id, self.claimed.attempt, steps))
            if saved.one_or_none() is None:
                return False
            if call is not None:
                noted = usage.record(
                    self.claimed.user_id,
                    purpose,
                    call,
                    chat_id=self.claimed.chat_id,
                    generation_id=self.generation_id,
                )
                await db.execute(noted)
            return True

        await self._save(write, call, in_transaction=True)

    async def note_rows(self) -> None:
        """Have the chat remember that it has rows of a user's database, if it does not yet.

        Raises:
            SQLAlchemyError: the database stays away.

        """
        if not self.claimed.has_rows:
            await patiently(self._note_rows)

    async def _note_rows(self) -> None:
        async with self.database.connect() as db:
            await db.execute(note_rows(self.claimed.chat_id))

    async def finish(
        self,
        outcome: Outcome,
        reply: FinishedReply,
        *,
        model: str,
        last_call: ModelUsage | None,
        first_token_at: float | None,
    ) -> None:
        """End the generation and save its reply. The arguments are those of `shared.generations.finish.finish`.

        `first_token_at` is in seconds of the monotonic clock.

        Raises:
            AttemptSuperseded: another attempt has the generation, or the generation is over.

        """

        async def write(db: Connection) -> bool:
            return await finish(
                db,
                self.generation_id,
                self.claimed.attempt,
                outcome,
                reply,
                model=model,
                last_call=last_call,
                first_token_ago=_ago(first_token_at),
            )

        await self._save(write, last_call, in_transaction=False)
        self.metrics.generation_ended(outcome.status)

    async def forget_parts(self) -> None:
        """Forget the parts that a pause has saved: the log has them all."""

        async def write(db: Connection) -> bool:
            await db.execute(forget_parts(self.generation_id, self.claimed.attempt))
            return True

        await write_patiently(self.database, write, in_transaction=False)

    async def pause(
        self, reply: FinishedReply, *, log_length: int, usage: TokenUsage | None, first_token_at: float | None
    ) -> QueuedGeneration | None:
        """Let the generation wait for a person's decision. The arguments are those of `shared.generations.approval.pause`.

        `first_token_at` is in seconds of the monotonic clock.
        Returns the generation where the decision is there already: its job is to be sent.

        Raises:
            AttemptSuperseded: another attempt has the generation, or the generation is over.

        """
        resumed: QueuedGeneration | None = None

        async def write(db: Connection) -> bool:
            nonlocal resumed
            is_paused = await pause(
                db,
                self.generation_id,
                self.claimed.attempt,
                reply,
                log_length=log_length,
                usage=usage,
                first_token_ago=_ago(first_token_at),
            )
            resumed = await resume(db, self.generation_id)
            return is_paused

        await self._save(write, None, in_transaction=True)
        return resumed

    async def note_lost_call(self, call: ModelUsage | None) -> None:
        """Note what a model call took whose text is thrown away: the call is paid for all the same. Never raises."""
        if call is not None:
            claimed = self.claimed
            await note_call(
                self.database,
                self.metrics,
                claimed.user_id,
                "generation",
                call,
                chat_id=claimed.chat_id,
                generation_id=self.generation_id,
            )

    async def _save(self, write: Write, call: ModelUsage | None, *, in_transaction: bool) -> None:
        """Write again and again until the database answers. What the call took is noted in any case."""
        tries = 0

        async def counted(db: Connection) -> bool:
            nonlocal tries
            tries += 1
            return await write(db)

        try:
            written = await write_patiently(self.database, counted, in_transaction=in_transaction)
        except asyncio.CancelledError:
            if not tries:
                await self.note_lost_call(call)
            raise
        if not written:
            if tries == 1:  # of several tries, one may have written the call, though its answer was lost
                await self.note_lost_call(call)
            raise AttemptSuperseded("The generation is not this attempt's any more.")
        if call is not None:
            self.metrics.tokens(call.model, call.usage)


def _ago(moment: float | None) -> timedelta | None:
    """How long ago a moment of the monotonic clock was, anew for each try: the database subtracts this from its own time."""
    return None if moment is None else timedelta(seconds=time.monotonic() - moment)


async def write_patiently(
    database: Database, write: Write, *, in_transaction: bool, patience: float = PATIENCE
) -> bool:
    """Write in one transaction, or without `in_transaction` in one statement. Returns what `write` returns.

    While the database does not answer, the writing is tried again for `patience` seconds.

    Raises:
        SQLAlchemyError: the database refuses, or it stays away.

    """

    async def once() -> bool:
        async with database.begin() if in_transaction else database.connect() as db:
            return await write(db)

    return await patiently(once, patience=patience)


async def patiently(use: Callable[[], Awaitable[Result]], *, patience: float = PATIENCE) -> Result:
    """Use the database, again and again for `patience` seconds while it does not answer. `use` may run twice.

    Raises:
        SQLAlchemyError: the database refuses, or it stays away.

    """
    give_up_at = asyncio.get_running_loop().time() + patience
    for wait in chain(RETRY_AFTER, repeat(RETRY_EVERY)):
        try:
            return await use()
        except SQLAlchemyError as error:
            if asyncio.get_running_loop().time() >= give_up_at or not is_transient(error):
                raise
            log.warning("database_use_failed", error=type(error).__name__)
            await asyncio.sleep(wait)
    raise AssertionError("each try returns, raises or is followed by another")
