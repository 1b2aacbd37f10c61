"""One attempt at a generation, from the claim to the closed log. The numbers are those of docs/architecture.md."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy.exc import IntegrityError
from structlog.contextvars import bound_contextvars

from services.worker.generations.answer_loop import AnswerLoop
from services.worker.generations.checkpoints import Checkpoints
from services.worker.generations.history import ChatHistory, load_history
from services.worker.generations.leases import Lease, Leases, StopReason
from services.worker.generations.log_writer import Flusher, LogWriter
from services.worker.generations.reply import Reply
from services.worker.generations.saving import ReplyStore
from services.worker.look_up.port import FoundMessage
from services.worker.quota import Quota, load_quota
from shared import background
from shared.database.engine import Connection, Database
from shared.errors import AppendRefused, LogDiverged, ModelError, ModelTimeout, QuotaExceeded
from shared.generations import title_tries
from shared.generations.claim import Claimed, claim, release
from shared.generations.opening import opening
from shared.generations.tell_end import tell_end
from shared.generations.turn_order import mark_closed, send
from shared.ids import ChatId, GenerationId
from shared.jobs.sender import JobSender
from shared.protocol.feed_events import generation_status
from shared.protocol.transcript import read
from shared.states import GenerationStatus
from shared.streams.feed.publisher import FeedPublisher
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics
from shared.telemetry.traces import bound_trace, read_traceparent
from shared.token_usage import TokenUsage

log = get_logger(__name__)

CLOSE_WITHIN: Final = 5.0
MAX_STARTS: Final = 4
"""How many generations of a process start at the same time. In a burst of generations, the others wait.

So the first tokens do not have to wait until all generations have started.
"""


class AskForSummary(Protocol):
    """Has a chat summarized if a summary is due. `is_well`: the default model has just answered."""

    async def __call__(self, chat_id: ChatId, *, is_well: bool = False) -> None:
        """Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class _Started:
    """A claimed generation, and what was read for it.

    `asks_for_title`: a try for a better title is counted, and its job is to be sent. `looking_up` finds the earlier messages
    that bear on the question. `since` is the claim's time by the event loop's clock, `accepted_at` the message's by the
    monotonic clock.
    """

    claimed: Claimed
    asks_for_title: bool
    history: ChatHistory
    quota: Quota
    looking_up: asyncio.Task[tuple[FoundMessage, ...]]
    since: float
    accepted_at: float


@dataclass(frozen=True, slots=True)
class Attempts:
    """Makes replies. One is made for each process.

    `timeout` is in seconds, for a whole reply. `daily_tokens` bounds what a user may spend a day; None for no bound.
    `titles_by_model`: while nobody has given a chat a title, the first attempt of each turn has one made, until a model was
    asked often enough. `starts` bounds how many generations start at the same time.
    """

    database: Database
    leases: Leases
    flusher: Flusher
    checkpoints: Checkpoints
    answer_loop: AnswerLoop
    jobs: JobSender
    ask_for_summary: AskForSummary
    timeout: float
    daily_tokens: int | None
    titles_by_model: bool
    starts: asyncio.Semaphore
    feed: FeedPublisher
    metrics: Metrics

    async def run(self, generation_id: GenerationId) -> None:
        """Make the reply of a queued generation. Does nothing when the generation is not queued any more."""
        with bound_contextvars(generation_id=str(generation_id)):
            started = await self._start(generation_id)
            if started is not None:
                try:
                    await self._attempt(generation_id, started)
                finally:
                    await background.end(started.looking_up)

    async def _start(self, generation_id: GenerationId) -> _Started | None:
        """2. Claim. What the attempt needs to know is read by the same connection. None when there is nothing to claim."""
        async with self.starts:
            since = asyncio.get_running_loop().time()
            async with self.database.connect() as db:
                claimed = await claim(db, generation_id, self.leases.length)
                if claimed is None:
                    return None
                accepted_at = time.monotonic() - claimed.waited.total_seconds()
                async with AsyncExitStack() as unless_started:
                    with bound_trace(read_traceparent(claimed.traceparent)):
                        looking_up = asyncio.create_task(self.answer_loop.look_up(claimed))
                    unless_started.push_async_callback(background.end, looking_up)
                    asks_for_title = self.titles_by_model and await _takes_title_try(db, claimed)
                    history = await load_history(db, claimed)
                    quota = await load_quota(db, claimed.user_id, self.daily_tokens)
                    unless_started.pop_all()
        return _Started(claimed, asks_for_title, history, quota, looking_up, since, accepted_at)

    async def _attempt(self, generation_id: GenerationId, started: _Started) -> None:
        """What follows the claim."""
        claimed = started.claimed
        self._tell(generation_id, claimed, GenerationStatus.RUNNING)
        store = ReplyStore(self.database, self.metrics, generation_id, claimed)
        trace = read_traceparent(claimed.traceparent)
        with bound_trace(trace), self.leases.renewing(generation_id, claimed.attempt, started.since) as lease:
            if started.asks_for_title:
                self.jobs.title(generation_id)
            try:
                await self._make_reply(lease, store, started)
            except AppendRefused as refusal:
                lease.is_stopping = True
                log.warning("attempt_refused", attempt=claimed.attempt, error=refusal.code)
                # A log that has diverged lost its end in Redis, and an earlier attempt wrote in the place of the
                # lost end. The next attempt goes on from there. Any other refusal means that the generation is
                # over, or another's.
                another_goes_on = isinstance(refusal, LogDiverged)
            except asyncio.CancelledError:
                lease.is_stopping = True
                if lease.stop is None:
                    raise
                log.warning("attempt_stopped", attempt=claimed.attempt, why=lease.stop.value)
                another_goes_on = lease.stop is StopReason.DRAINED
            else:
                return
            try:
                if another_goes_on:
                    await self._give_back(lease, claimed)
                elif not claimed.is_hidden:
                    await self.ask_for_summary(claimed.chat_id)
            except asyncio.CancelledError:
                # The lease asked for it before the attempt ended by itself. The sweep does what is left.
                if lease.stop is None:
                    raise

    async def _make_reply(self, lease: Lease, store: ReplyStore, started: _Started) -> None:
        """The attempt, once the generation is claimed.

        Raises:
            AppendRefused: the generation is not this attempt's any more.

        """
        claimed = started.claimed

        # 3. Open the log. The opening frame fences off every earlier attempt; then what they wrote is read.
        opened = opening(lease.generation_id, claimed)
        log_writer, written = await self.flusher.open(lease.generation_id, lease.attempt, opened)
        reply = Reply(log_writer, read(written), started.quota, usage=TokenUsage.from_row(claimed.usage))
        # An attempt behind tool calls may be one behind a person's decision, whose time is not ours.
        has_said = reply.transcript.length or reply.transcript.reasonings or claimed.content or claimed.has_first_token
        has_first_token = bool(has_said or claimed.steps)

        # 4. Generate, and wait until readers have everything.
        try:
            is_whole = await self._write_in_time(reply, store, started)
            transcript = reply.transcript
            reply.write_all(transcript.closing_calls() if is_whole else transcript.ending())
            if is_whole:
                await log_writer.settled_in_time()
            else:
                # However long Redis takes: nobody decides on a proposal of which the log does not tell.
                await log_writer.settled()
        except (AppendRefused, asyncio.CancelledError):
            lease.is_stopping = True
            if lease.stop is not StopReason.DRAINED:
                log_writer.leave()
            await store.note_lost_call(reply.end_call())
            raise
        finally:
            if not has_first_token and reply.first_token_at is not None:
                self.metrics.first_token(reply.first_token_at - started.accepted_at)

        if not is_whole:
            await self._pause(lease, store, reply, log_writer)
            return

        # 5. Finish: save the reply and end the generation. Only then may the log be closed.
        lease.is_saving = True
        model = await self._finish(reply, store, claimed)
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await log_writer.close(*reply.transcript.ending(), *reply.outcome().frames())
        except TimeoutError:
            # Redis does not answer. The reply is saved, so nothing has to wait for Redis: the sweep closes the log.
            log.warning("close_left_to_the_sweep")
            return
        # The feed is told before the row says that the log is closed: until then, the sweep would tell it.
        of = (claimed.user_id, claimed.chat_id, lease.generation_id, claimed.assistant_message_id)
        if not claimed.is_hidden:
            await tell_end(self.feed, *of, reply.outcome())
        await note_closed(self.database, self.jobs, self.feed, lease.generation_id, lease.attempt, log_writer.sequence)
        is_well = reply.failure is None and model == self.answer_loop.models.default
        if not claimed.is_hidden:
            await self.ask_for_summary(claimed.chat_id, is_well=is_well)

    async def _write_in_time(self, reply: Reply, store: ReplyStore, started: _Started) -> bool:
        """Write the reply within its time and its user's quota. A failure becomes the reply's.

        Returns False where a person has to decide first.
        """
        claimed, transcript = started.claimed, reply.transcript
        checkpoint = self.checkpoints.keep(
            store.generation_id, claimed.attempt, lambda: transcript.length, lambda: transcript.text
        )
        try:
            async with asyncio.timeout(self.timeout):
                with checkpoint:
                    reply.check_quota()
                    return await self.answer_loop.run(reply, store, claimed, started.history, started.looking_up)
        except (ModelError, QuotaExceeded) as failure:
            reply.fail(failure)
        except TimeoutError:
            reply.failure = ModelTimeout()
        return True

    async def _pause(self, lease: Lease, store: ReplyStore, reply: Reply, log_writer: LogWriter) -> None:
        """Let the generation wait for a person's decision. Its log stays open, and another attempt goes on.

        Raises:
            AttemptSuperseded: the generation is not this attempt's any more.

        """
        lease.is_saving = True
        log_writer.leave()
        resumed = await store.pause(
            reply.finished(), log_length=log_writer.sequence, usage=reply.usage, first_token_at=reply.first_token_at
        )
        if resumed is None:
            self._tell(lease.generation_id, store.claimed, GenerationStatus.AWAITING_APPROVAL)
        else:
            send(self.jobs, self.feed, resumed)

    async def _finish(self, reply: Reply, store: ReplyStore, claimed: Claimed) -> str:
        """Save the reply and end the generation. Returns the model that answered last.

        Raises:
            AttemptSuperseded: the generation is not this attempt's any more.

        """
        call = reply.end_call()
        model = call.model if call else self.answer_loop.models.choose(claimed.model)
        await store.finish(
            reply.outcome(), reply.finished(), model=model, last_call=call, first_token_at=reply.first_token_at
        )
        failure = reply.failure
        if failure is not None:
            fields = failure.log_fields if isinstance(failure, ModelError) else {"code": failure.code}
            log.warning("answer_failed", attempt=claimed.attempt, **{**fields, "model": fields.get("model") or model})
        return model

    def _tell(self, generation_id: GenerationId, claimed: Claimed, status: GenerationStatus) -> None:
        """Tell the user's readers what the generation's status is now. Nothing is told of hidden chats."""
        if claimed.is_hidden:
            return
        moved = generation_status(claimed.chat_id, generation_id, claimed.assistant_message_id, status)
        self.feed.tell(claimed.user_id, moved)

    async def _give_back(self, lease: Lease, claimed: Claimed) -> None:
        """Queue the generation again, so that another worker goes on at once."""
        async with self.database.connect() as db:
            is_released = (await db.execute(release([(lease.generation_id, lease.attempt)]))).one_or_none() is not None
        if is_released:
            self._tell(lease.generation_id, claimed, GenerationStatus.QUEUED)
        self.jobs.generate(lease.generation_id)


async def _takes_title_try(db: Connection, claimed: Claimed) -> bool:
    """Whether the attempt has a better title made. The try is counted before the answer begins, and so before its end."""
    if claimed.attempt > 1 or claimed.title_by != "message" or claimed.title_tries > title_tries.MAX_TRIES:
        return False
    count = (await db.execute(title_tries.take_try(claimed.chat_id))).scalar_one_or_none()
    return count is not None and count <= title_tries.MAX_TRIES


async def note_closed(
    database: Database,
    jobs: JobSender,
    feed: FeedPublisher,
    generation_id: GenerationId,
    attempt: int,
    final_sequence: int | None,
) -> None:
    """Note that a log has its terminal frame, and send the chat's next generation, if one waits.

    `final_sequence` is the terminal frame's; None for a log that is gone.
    """
    try:
        async with database.connect() as db:
            due = await mark_closed(db, generation_id, attempt, final_sequence)
    except IntegrityError:
        # A message was accepted at this very moment, so the chat has a live generation already. The sweep closes.
        return
    if due is not None:
        send(jobs, feed, due)
