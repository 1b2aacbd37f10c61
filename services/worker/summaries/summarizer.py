"""Summaries: the older messages of a chat go into its summary, each once, and the watermark moves past them."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.worker import prompts
from services.worker.look_up.port import HistoryIndex, IndexedMessage
from services.worker.model_calls import noted_answer
from services.worker.models.answer import Answer
from services.worker.models.capabilities import AnswerBounds, ModelCatalog, learn_context
from services.worker.models.port import ChatModel, ModelMessage, ModelRequest
from services.worker.models.tokens import Vocabulary, count_text, count_tokens, cut_text
from services.worker.summaries.facts import SummarizedMessage, kept_facts
from shared.database.engine import Database
from shared.errors import ModelBadResponse, ModelError, PromptTooLong, SummaryRefused
from shared.ids import ChatId
from shared.jobs.sender import JobSender
from shared.memory import summaries
from shared.memory.summaries import SummaryClaim
from shared.protocol.encoding import clean
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics
from shared.visible_text import ELLIPSIS, is_blank

log = get_logger(__name__)

CHUNKS_PER_JOB: Final = 5
"""How many chunks one job summarizes before other jobs get their turn."""
CHUNKS_AT_ONCE: Final = 3
"""How many chunks are summarized while an answer waits."""
WAIT_WITHIN: Final = 30.0
"""Seconds that an answer waits for its chat's summary."""
SKIP_AFTER: Final = 5
"""After so many failures, a single message that the model refuses is left out of the summary."""
ASKING_SHARE: Final = 0.8
"""This share of the lease is for the model, however often it is asked. The rest is for saving, so that nobody else begins."""
JOB_LOST_AFTER: Final = timedelta(seconds=2)
MARGIN_TOKENS: Final = 64
LEAST_TOKENS: Final = 100
"""Of a message, so many tokens are summarized at least, however small the model's context is."""
SUMMARY_SHARE: Final = 4
"""The old summary and the new one each get at most 1/SUMMARY_SHARE of the model's context."""
MOST_HALVINGS: Final = 6
"""How often a chunk that is too long for the model is halved at once."""
ENGLISH_CHARS: Final = 4
"""Characters of a token of English."""
SAMPLE_CHARS: Final = 500
"""So many characters tell how many tokens a chat's language takes."""


@dataclass(frozen=True, slots=True)
class Summarizer:
    """Makes summaries. One is made for each process.

    The newest `window` messages of a chat stay out of its summary. A chunk has at most `chunk_messages` messages and
    takes at most `timeout` seconds. A summary has at most `max_chars` characters; at most `max_facts` facts are kept
    beside it. Summarized messages go into the `index`. `running` are the jobs that run now. Once `is_leaving` is set, no
    further job begins.
    """

    database: Database
    model: ChatModel
    models: ModelCatalog
    index: HistoryIndex
    jobs: JobSender
    window: int
    chunk_messages: int
    timeout: float
    max_chars: int
    max_facts: int
    metrics: Metrics
    running: set[asyncio.Task[None]] = field(default_factory=set)
    is_leaving: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lease(self) -> timedelta:
        """How long a claim of a chunk holds. The model is asked within ASKING_SHARE of this time."""
        return timedelta(seconds=self.timeout)

    async def ask_if_due(self, chat_id: ChatId) -> None:
        """Send a job for the chat if more messages than the window are not summarized. Never raises.

        When the database does not answer, the end of the next reply asks again.
        """
        try:
            async with self.database.connect() as db:
                is_due = await summaries.mark_due(db, chat_id, self.window)
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
        """Summarize what is due of a chat, chunk by chunk. Does nothing when nothing is due, or another job is at work.

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
            if not await self._summarize_chunk(chat_id, even_if_not_due=False):
                return
        self.jobs.summarize(chat_id)

    async def summarize_now(self, chat_id: ChatId) -> bool:
        """Summarize a few chunks, due or not, while an answer waits. Returns whether any chunk was summarized."""
        summarized = False
        try:
            async with asyncio.timeout(WAIT_WITHIN):
                for _ in range(CHUNKS_AT_ONCE):
                    more = await self._summarize_chunk(chat_id, even_if_not_due=True)
                    summarized = summarized or more is not None
                    if not more:
                        break
        except (TimeoutError, SQLAlchemyError) as error:
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

    async def _summarize_chunk(self, chat_id: ChatId, *, even_if_not_due: bool) -> bool | None:
        """Summarize one chunk. Returns whether more is due; None when nothing was summarized."""
        # 1. Claim the chat, and read the next messages.
        async with self.database.connect() as db:
            claimed = await summaries.claim(db, chat_id, self.lease, even_if_not_due=even_if_not_due)
            if claimed is None:
                return None
            last = claimed.last - self.window
            # After each failure the chunk is half as long: it may have been too much for the model.
            limit = max(1, self.chunk_messages >> claimed.failures)
            statement = summaries.messages_between(chat_id, claimed.watermark, last, limit)
            rows = (
                [IndexedMessage._make(row) for row in await db.execute(statement)] if last > claimed.watermark else []
            )
        if not rows:
            async with self.database.begin() as db:
                await summaries.rest(db, claimed, self.window)
            return None

        # 2. Ask the model for the new summary.
        try:
            chunk, answer = await self._ask_for_less_and_less(claimed, rows)
        except asyncio.CancelledError:
            async with self.database.connect() as db:
                await db.execute(summaries.release(claimed))
            raise
        if isinstance(answer, Exception):
            log.warning("summary_failed", chat_id=chat_id, error=type(answer).__name__)
            alone = [message for message in chunk if message.content]
            is_refused = isinstance(answer, SummaryRefused | PromptTooLong)
            if not (is_refused and len(alone) == 1 and claimed.failures >= SKIP_AFTER):
                async with self.database.connect() as db:
                    await db.execute(summaries.failed(claimed))
                return None
            # One message must not keep all later messages out of the memory. The facts of this message are kept.
            log.warning("message_not_summarized", chat_id=chat_id, position=alone[0].position)
            answer = None

        # 3. Save the summary and the facts, and move the watermark.
        return await self._save(claimed, chunk, answer)

    async def _ask_for_less_and_less(
        self, claimed: SummaryClaim, rows: Sequence[IndexedMessage]
    ) -> tuple[Sequence[IndexedMessage], Answer | ModelError | None]:
        """The first messages, as many as fit, and the model's answer over them; None where they say nothing, or a failure.

        What is too long for the model is halved and asked for again at once. After failures it is halved from the start.
        All asks together end before the claim's lease does.
        """
        until = asyncio.get_running_loop().time() + self.timeout * ASKING_SHARE
        for halvings in range(claimed.failures, claimed.failures + MOST_HALVINGS):
            chunk = self._fitting(claimed, rows, halvings)
            messages = [message for message in chunk if message.content]
            try:
                return chunk, await self._ask(claimed, messages, halvings, until) if messages else None
            except PromptTooLong as error:
                refusal = error
            except ModelError as error:
                return chunk, error
        return chunk, refusal

    def _fitting(
        self, claimed: SummaryClaim, rows: Sequence[IndexedMessage], halvings: int
    ) -> Sequence[IndexedMessage]:
        """The first of the messages, as many as the model can read at once, but at least one."""
        left = float(self._budget(claimed, halvings))
        for count, row in enumerate(rows):
            left -= (
                count_text(json.dumps(row.content, ensure_ascii=False), self._bounds.vocabulary) + MARGIN_TOKENS // 4
            )
            if left < 0 and count:
                return rows[:count]
        return rows

    @property
    def _bounds(self) -> AnswerBounds:
        return self.models.with_fallback(self.models.default)

    @property
    def _share(self) -> int:
        """The tokens that the old summary may take, the pinned facts, and the new summary, each."""
        return self._bounds.context_tokens // SUMMARY_SHARE

    def _budget(self, claimed: SummaryClaim, halvings: int) -> int:
        """The tokens that the quoted messages may take."""
        vocabulary = self._bounds.vocabulary
        old = self._old_summary(claimed)
        conversation = self._conversation(old, [], self._pinned(claimed))
        fixed = sum(count_tokens(message, vocabulary) for message in conversation) + MARGIN_TOKENS
        room = self._bounds.context_tokens - self._max_tokens(claimed.summary or "") - fixed
        return max(LEAST_TOKENS, room >> halvings)

    def _old_summary(self, claimed: SummaryClaim) -> str:
        return cut_text(claimed.summary or "", self._share, self._bounds.vocabulary)

    def _pinned(self, claimed: SummaryClaim) -> list[str]:
        """The facts that the user has confirmed, as many as have room."""
        room, told = float(self._share), list[str]()
        for fact in claimed.facts:
            if fact.pinned and (room := room - count_text(f'"{fact.text}", ', self._bounds.vocabulary)) >= 0:
                told.append(fact.text)
        return told

    def _conversation(
        self, summary: str, quoted: Sequence[tuple[int, str, str]], pinned: Sequence[str]
    ) -> list[ModelMessage]:
        return [
            ModelMessage("system", prompts.summarize(self.max_chars)),
            ModelMessage("user", prompts.summary_request(summary, quoted, pinned)),
        ]

    def _max_tokens(self, sample: str) -> int:
        """The tokens that a summary in the language of the sample may take.

        The margin is for models that count tokens differently.
        """
        sample = sample[:SAMPLE_CHARS]
        density = max(1 / ENGLISH_CHARS, count_text(sample, self._bounds.vocabulary) / max(1, len(sample)))
        return min(self._bounds.max_output_tokens, self._share, int(self.max_chars * density) + MARGIN_TOKENS)

    async def _ask(
        self, claimed: SummaryClaim, messages: Sequence[IndexedMessage], halvings: int, until: float
    ) -> Answer:
        """The model's new summary. `until` is a time of the event loop's clock.

        Raises:
            ModelError: the model gave no summary, so the old summary is kept.

        """
        most, vocabulary = self._budget(claimed, halvings), self._bounds.vocabulary
        quoted = [
            (message.position, message.role, _shortened(message.content, most, vocabulary)) for message in messages
        ]
        conversation = self._conversation(self._old_summary(claimed), quoted, self._pinned(claimed))
        max_tokens = self._max_tokens((claimed.summary or "") + messages[0].content)
        request = ModelRequest(self.models.default, conversation, max_tokens=max_tokens, is_brief=True)
        try:
            answer = await noted_answer(
                self.database,
                self.metrics,
                self.model,
                request,
                claimed.user_id,
                "summary",
                chat_id=claimed.chat_id,
                within=until - asyncio.get_running_loop().time(),
            )
        except PromptTooLong as refusal:
            sent = sum(count_tokens(message, vocabulary) for message in conversation)
            learn_context(refusal, self.models, self.models.default, sent)
            raise
        if answer.finish_reason == "length" and is_blank(answer.text):
            raise ModelBadResponse  # the model thought for too long, as it may do over any text
        if answer.finish_reason == "content-filter" or is_blank(answer.text):
            raise SummaryRefused
        return answer

    async def _save(self, claimed: SummaryClaim, chunk: Sequence[IndexedMessage], answer: Answer | None) -> bool | None:
        """Save the answer as the summary of the chunk; without an answer, the old summary.

        Returns as `_summarize_chunk`.
        """
        summary = claimed.summary
        if answer is not None:
            text = clean(answer.text).strip()
            was_cut = answer.finish_reason == "length"
            summary = at_sentence_end(text, min(self.max_chars, len(text) - 1) if was_cut else self.max_chars)
        texts = [SummarizedMessage(message.position, message.content) for message in chunk if message.role == "user"]
        if claimed.summary:
            # The new summary may lack facts that the old one had of earlier messages.
            texts.insert(0, SummarizedMessage(claimed.watermark or None, claimed.summary))
        # On a thread, since there may be much text.
        facts = await asyncio.to_thread(kept_facts, claimed.facts, texts, summary or "", maximum=self.max_facts)
        entries = await self.index.prepare(claimed.chat_id, chunk)
        async with self.database.begin() as db:
            saved = await summaries.save(db, claimed, summary, facts, chunk[-1].position, self.window)
            if saved is not None:
                await self.index.add(db, entries)
        if saved is None:
            log.info("summary_outrun", chat_id=claimed.chat_id)
        return saved


def _shortened(text: str, max_tokens: int, vocabulary: Vocabulary) -> str:
    """A message for the prompt.

    When the message is too long, its middle is left out; its facts are found all the same.
    """
    if cut_text(text, max_tokens, vocabulary) == text:
        return text
    half = max_tokens / 2
    # The end is cut from its end on.
    return f"{cut_text(text, half, vocabulary)} {ELLIPSIS} {cut_text(text[::-1], half, vocabulary)[::-1]}"


def at_sentence_end(text: str, max_chars: int) -> str:
    """`text`, cut after the last whole sentence that fits, or after a word where no sentence fits."""
    if len(text) <= max_chars:
        return text
    cut = text[:max_chars]
    end = max(cut.rfind(mark) for mark in (". ", "! ", "? ", ".\n", "\n"))
    return cut[: end + 1].rstrip() if end > max_chars // 2 else cut.rpartition(" ")[0] or cut
