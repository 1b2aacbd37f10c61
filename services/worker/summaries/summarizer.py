"""Summaries: the older messages of a chat go into its segments, each once, and the watermark moves past them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.worker.look_up.port import HistoryIndex, IndexedMessage
from services.worker.model_calls import noted_answer
from services.worker.models.answer import Answer
from services.worker.models.capabilities import ModelCatalog
from services.worker.models.port import ChatModel, ModelRequest
from services.worker.quota import load_quota
from services.worker.summaries.messages import SummarizedMessage, next_messages, read_row
from services.worker.summaries.segmenting import EXTRACT_AFTER, Segmenting, may_be_better
from services.worker.summaries.summary_model import SummaryModel
from shared.database.engine import Connection, Database
from shared.ids import ChatId
from shared.jobs.sender import JobSender
from shared.memory import summaries
from shared.memory.chat_memory import ChatMemory, read_memory
from shared.memory.summaries import MemoryChanges, SummaryClaim
from shared.protocol.feed_events import memory_changed
from shared.streams.feed.publisher import FeedPublisher
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics

log = get_logger(__name__)

CLAIMS: Final = 3
"""So often a chat is claimed whose memory changes meanwhile."""
CHUNKS_PER_JOB: Final = 5
"""How many chunks one job summarizes before other jobs get their turn."""
CHUNKS_AT_ONCE: Final = 100
"""How many chunks are summarized at most while an answer waits."""
WAIT_WITHIN: Final = 1.5
"""Seconds that an answer waits for a model that summarizes. With what is done without it then, this is less than 2 s."""
ASKING_SHARE: Final = 0.8
"""This share of the lease is for the model, however often it is asked. The rest is for saving, so that nobody else begins."""
SEGMENTS: Final = 5
"""So many segments fit into a memory, at the least."""
SMALL_CONTEXT: Final = 8_000
"""Where a model's context has fewer tokens, messages are summarized one by one as they leave the window."""
JOB_LOST_AFTER: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Summarizer:
    """Puts the older messages of chats into segments. One is made for each process.

    The newest `window` messages of a chat stay out of segments. A segment is made of at most `chunk_messages` messages, as
    soon as there are so many, and takes at most `timeout` seconds. All segments of a chat have at most `max_chars`
    characters. A user may spend `daily_tokens` a day; None for no bound. Summarized messages go into the `index`. `running`
    are the jobs that run now. Once `is_leaving` is set, no further job begins.
    """

    database: Database
    model: ChatModel
    models: ModelCatalog
    index: HistoryIndex
    jobs: JobSender
    feed: FeedPublisher
    window: int
    chunk_messages: int
    timeout: float
    max_chars: int
    daily_tokens: int | None
    metrics: Metrics
    running: set[asyncio.Task[None]] = field(default_factory=set)
    is_leaving: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lease(self) -> timedelta:
        """How long a claim of a chunk holds. The model is asked within ASKING_SHARE of this time."""
        return timedelta(seconds=self.timeout)

    @property
    def due_after(self) -> int:
        """How many messages have to have left the window before a segment is made of them."""
        is_small = self.models.with_fallback(self.models.default).context_tokens < SMALL_CONTEXT
        return 1 if is_small else self.chunk_messages

    @property
    def kept(self) -> int:
        """How many messages past the watermark are left as they are."""
        return self.window + self.due_after - 1

    async def ask_if_due(self, chat_id: ChatId, *, is_well: bool = False) -> None:
        """Send a job for the chat if a segment is due. Never raises.

        `is_well`: the model that makes summaries has just answered. When the database does not answer, the end of the next
        reply asks again.
        """
        try:
            async with self.database.connect() as db:
                is_due = await summaries.mark_due(db, chat_id, self.kept, is_well=is_well)
        except SQLAlchemyError as error:
            log.warning("summary_not_asked_for", error=type(error).__name__)
            return
        if is_due:
            self.jobs.summarize(chat_id)

    async def resend_lost(self) -> None:
        """Send jobs again for chats whose job may have been lost. Harmless, however often it is done."""
        async with self.database.connect() as db:
            chat_ids = (await db.execute(summaries.mark_resent(JOB_LOST_AFTER))).scalars().all()
        for chat_id in chat_ids:
            self.jobs.summarize(ChatId(chat_id))

    async def summarize(self, chat_id: ChatId) -> None:
        """Put into segments what is due of a chat, chunk by chunk. Does nothing when nothing is due, or another job is at work.

        A process that is leaving does nothing either: the sweep finds the chat again.
        """
        if self.is_leaving.is_set():
            return
        job = asyncio.create_task(self._summarize_chunks(chat_id))
        self.running.add(job)
        job.add_done_callback(self.running.discard)
        try:
            await asyncio.wait([job])
        finally:
            job.cancel()
        if not job.cancelled():
            job.result()

    async def _summarize_chunks(self, chat_id: ChatId) -> None:
        for _ in range(CHUNKS_PER_JOB):
            if not await self._summarize_chunk(chat_id):
                return
        self.jobs.summarize(chat_id)

    async def summarize_now(self, chat_id: ChatId) -> bool:
        """Put the oldest messages into segments while an answer waits, whether that is due or not. Never raises.

        The model has WAIT_WITHIN seconds for all of it. What it has not summarized by then, and all where it failed a short
        while ago, is extracted without it; a model makes these segments anew later. Returns whether anything was summarized.
        """
        until = asyncio.get_running_loop().time() + WAIT_WITHIN
        summarized = False
        try:
            for _ in range(CHUNKS_AT_ONCE):
                if await self._summarize_chunk(chat_id, until=until) is None:
                    break
                summarized = True
        except SQLAlchemyError as error:
            log.warning("summarize_now_failed", error=type(error).__name__)
        return summarized

    async def drain(self, seconds: float) -> None:
        """Let running jobs finish for so many seconds, then stop the others.

        They give their chats back for other workers.
        """
        self.is_leaving.set()
        if self.running:
            _, late = await asyncio.wait(self.running, timeout=seconds)
            for job in late:
                job.cancel()

    async def _summarize_chunk(self, chat_id: ChatId, *, until: float | None = None) -> bool | None:
        """Put one chunk of messages into a segment. Returns whether more is due; None when nothing was summarized.

        `until`: an answer waits until then, by the event loop's clock. So it is done whether it is due or not.
        """
        # 1. Claim the chat, and read its memory and the next messages.
        async with self.database.connect() as db:
            found = await self._claim(db, chat_id, even_if_not_due=until is not None)
            if found is None:
                return None
            claimed, memory = found
            rows = await self._next_messages(db, claimed)
        is_due = claimed.waiting > self.kept
        if not rows or (until is None and not is_due):
            async with self.database.begin() as db:
                await summaries.rest(db, claimed, self.kept)
            return None

        # 2. Make a segment of them.
        model = self._model_for(claimed, until)
        segmenting = Segmenting(self.database, self.index, model, claimed, memory, self.max_chars)
        try:
            made = await segmenting.make(rows, is_waited_for=until is not None)
        except asyncio.CancelledError:
            await self._release(claimed)
            raise
        if made is None:
            return None

        # 3. Save the segments and the facts, and move the watermark.
        chunk, changes = made
        saved = await self._save(claimed, chunk, changes)

        # 4. Have the model better an extract, now that it is well.
        is_well = changes.segments[-1].kind == "summary"
        if saved is not None and until is None and is_well and any(map(may_be_better, changes.segments)):
            await self._make_anew(chat_id)
        return saved

    async def _make_anew(self, chat_id: ChatId) -> None:
        """Have an extract made anew, with the memory as it is now: later facts may say what has replaced its own."""
        async with self.database.connect() as db:
            found = await self._claim(db, chat_id, even_if_not_due=True)
        if found is None:
            return
        claimed, memory = found
        model = self._model_for(claimed, None)
        segmenting = Segmenting(self.database, self.index, model, claimed, memory, self.max_chars)
        try:
            changes = await segmenting.make_anew()
        except asyncio.CancelledError:
            await self._release(claimed)
            raise
        if changes is not None:
            await self._save(claimed, [], changes)
        else:
            async with self.database.begin() as db:
                await summaries.rest(db, claimed, self.kept)

    async def _release(self, claimed: SummaryClaim) -> None:
        async with self.database.connect() as db:
            await db.execute(summaries.release(claimed))

    async def _claim(
        self, db: Connection, chat_id: ChatId, *, even_if_not_due: bool
    ) -> tuple[SummaryClaim, ChatMemory] | None:
        """Claim the chat, and read the memory that was claimed. None when it is not due, or is being changed all the time."""
        for _ in range(CLAIMS):
            claimed = await summaries.claim(db, chat_id, self.lease, even_if_not_due=even_if_not_due)
            if claimed is None:
                return None
            memory = await read_memory(db, chat_id)
            if memory is not None and memory.version == claimed.version:
                return claimed, memory
            # Somebody has just changed it, or what a process of the release before wrote was taken over.
            await db.execute(summaries.give_up(chat_id))
        self.jobs.summarize(chat_id)
        return None

    async def _next_messages(self, db: Connection, claimed: SummaryClaim) -> list[SummarizedMessage]:
        """The next messages that may go into a segment: all but the newest `window`, at most a chunk of them."""
        # After each failure the chunk is half as long: it may have been too much for the model. In the end it is extracted.
        halvings = claimed.failures if claimed.failures < EXTRACT_AFTER else 0
        limit = max(1, self.chunk_messages >> halvings)
        statement = next_messages(claimed.chat_id, claimed.watermark, self.window, limit)
        return [read_row(row) for row in await db.execute(statement)]

    def _model_for(self, claimed: SummaryClaim, until: float | None) -> SummaryModel:
        async def ask(request: ModelRequest, within: float) -> Answer:
            return await noted_answer(
                self.database,
                self.metrics,
                self.model,
                request,
                claimed.user_id,
                "summary",
                chat_id=claimed.chat_id,
                within=within,
            )

        async def check_quota(tokens: int) -> None:
            async with self.database.connect() as db:
                quota = await load_quota(db, claimed.user_id, self.daily_tokens)
            quota.check(tokens)

        loop = asyncio.get_running_loop()
        end = loop.time() + self.timeout * ASKING_SHARE
        return SummaryModel(ask, self.models, self.max_chars // SEGMENTS, check_quota, until or end)

    async def _save(
        self, claimed: SummaryClaim, chunk: Sequence[SummarizedMessage], changes: MemoryChanges
    ) -> bool | None:
        """Save what the chunk became. Returns as `_summarize_chunk`."""
        indexed = [IndexedMessage(one.id, one.position, one.role, one.content) for one in chunk]
        entries = await self.index.prepare(claimed.chat_id, indexed)
        async with self.database.begin() as db:
            saved = await summaries.save(db, claimed, changes, self.kept)
            if saved is not None:
                await self.index.add(db, entries)
        if saved is None:
            log.info("summary_outrun", chat_id=claimed.chat_id)
            return None
        self.feed.tell(claimed.user_id, *map(memory_changed, (claimed.chat_id, *saved.others)))
        return saved.is_due
