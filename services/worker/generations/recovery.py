"""The sweep: find what was left behind, and queue it again or end it. Any process may run it, and several at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from sqlalchemy.exc import IntegrityError
from structlog.contextvars import bound_contextvars

from services.worker.generations.attempt import note_closed
from shared.database.engine import Database
from shared.errors import AppendRefused
from shared.generations import recover
from shared.generations.approval import resume_forgotten
from shared.generations.close_log import close_log
from shared.generations.recover import UnclosedLog
from shared.generations.tell_end import tell_end
from shared.generations.turn_order import QueuedGeneration, promote, send
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.jobs.sender import JobSender
from shared.operations.abandoned import refuse_abandoned
from shared.states import GenerationStatus
from shared.streams.feed.publisher import FeedPublisher
from shared.streams.port import Log, Writer
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics
from shared.telemetry.traces import bound_trace, read_traceparent

log = get_logger(__name__)

UNTAKEN_AFTER: Final = timedelta(seconds=5)
UNCLOSED_AFTER: Final = timedelta(seconds=5)


class LostGeneration(NamedTuple):
    """A generation whose lease expired, as it is now: queued again, or failed."""

    id: GenerationId
    status: str
    attempt: int
    assistant_message_id: MessageId
    model: str | None
    traceparent: str | None
    user_id: UserId
    chat_id: ChatId
    is_hidden: bool


@dataclass(frozen=True, slots=True)
class Recovery:
    """Looks for what was left behind. `default_model` is named in logs where a generation's row names no model."""

    database: Database
    writer: Writer
    stream_log: Log
    feed: FeedPublisher
    jobs: JobSender
    default_model: str
    metrics: Metrics

    async def sweep(self) -> None:
        """One pass: expired leases, rows that no worker took, rows whose turn has come, decided rows, logs that nobody closed."""
        await self._take_over_expired()
        async with self.database.connect() as db:
            untaken = (await db.execute(recover.queued_again(UNTAKEN_AFTER))).all()
        for generation_id, traceparent in untaken:
            with bound_trace(read_traceparent(traceparent)):
                self.jobs.generate(GenerationId(generation_id))
        await refuse_abandoned(self.database, self.jobs, self.feed)
        for queued in (*await self._promoted(), *await self._resumed()):
            send(self.jobs, self.feed, queued)
        async with self.database.connect() as db:
            unclosed = await recover.find_unclosed(db, UNCLOSED_AFTER)
        for one in unclosed:
            with (
                bound_contextvars(generation_id=str(one.generation.id)),
                bound_trace(read_traceparent(one.traceparent)),
            ):
                await self._close(one)

    async def _take_over_expired(self) -> None:
        """Queue again what lost its worker, or fail what lost its worker too often."""
        async with self.database.begin() as db:
            lost = [LostGeneration._make(row) for row in await db.execute(recover.take_over_expired())]
            failed = [one.assistant_message_id for one in lost if one.status == GenerationStatus.FAILED]
            if failed:
                await db.execute(recover.fail_replies(failed))
        for one in lost:
            with bound_contextvars(generation_id=str(one.id)), bound_trace(read_traceparent(one.traceparent)):
                if one.status == GenerationStatus.QUEUED:
                    log.warning("generation_lost", attempt=one.attempt)
                    if one.is_hidden:
                        self.jobs.generate(one.id)
                        continue
                    send(
                        self.jobs,
                        self.feed,
                        QueuedGeneration(one.id, one.user_id, one.chat_id, one.assistant_message_id),
                    )
                else:
                    model = one.model or self.default_model
                    log.warning("answer_failed", attempt=one.attempt, code=recover.LOST.error_code, model=model)
                    self.metrics.generation_ended(GenerationStatus.FAILED)

    async def _promoted(self) -> Sequence[QueuedGeneration]:
        """Queue what waited behind its chat's live answer and is due now."""
        try:
            async with self.database.connect() as db:
                return [QueuedGeneration._make(row) for row in await db.execute(promote())]
        except IntegrityError:
            # In one of the chats a message was accepted at this very moment. The next pass looks again.
            return ()

    async def _resumed(self) -> Sequence[QueuedGeneration]:
        """Queue what awaits no decision any more."""
        async with self.database.begin() as db:
            return await resume_forgotten(db)

    async def _close(self, unclosed: UnclosedLog) -> None:
        """Write what the log lacks of a reply that is over.

        A log that is gone stays gone: readers get the row instead.
        """
        generation, outcome, _ = unclosed
        if await self.stream_log.head(generation.id) is None:
            of = (generation.user_id, generation.chat_id, generation.id, generation.message_id)
            if not generation.is_hidden:
                await tell_end(self.feed, *of, outcome)
            await note_closed(self.database, self.jobs, self.feed, generation.id, generation.attempt, None)
            return
        try:
            closed = await close_log(self.database, self.writer, self.stream_log, self.feed, generation, outcome)
        except (AppendRefused, IntegrityError) as refusal:
            # Somebody else is closing the log, or a message was accepted at this moment. The next pass looks again.
            log.warning("close_refused", error=type(refusal).__name__)
            return
        if closed.due is not None:
            send(self.jobs, self.feed, closed.due)
