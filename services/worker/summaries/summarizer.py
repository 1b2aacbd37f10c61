"""Folding: the older messages of a chat go into its summary, each once, and the watermark moves past them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NamedTuple

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from services.worker import prompts
from services.worker.models.answer import Answer, whole_answer
from services.worker.models.capabilities import ModelCatalog
from services.worker.models.port import ChatModel, ModelMessage, ModelRequest
from services.worker.models.tokens import CHARS_PER_TOKEN, count_tokens
from services.worker.summaries.facts import SummarizedMessage, kept_facts
from shared import usage
from shared.database.engine import Database
from shared.errors import ModelBadResponse, ModelError, SummaryRefused
from shared.ids import ChatId
from shared.jobs.sender import JobSender
from shared.memory import summaries
from shared.memory.summaries import SummaryClaim
from shared.protocol.encoding import clean
from shared.settings import Settings
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics
from shared.token_usage import estimate

log = get_logger(__name__)

PASSES: Final = 5
"""How many chunks one job folds before others get their turn."""
PASSES_NOW: Final = 3
NOW_WITHIN: Final = 30.0
"""Seconds that an answer waits for its chat's summary, when it does not fit without."""
SKIP_AFTER: Final = 5
"""How many failures it takes until a single message that the model refuses is left out of the summary."""
HINT_LOST_AFTER: Final = timedelta(seconds=2)
MARGIN_TOKENS: Final = 64


@dataclass(frozen=True, slots=True)
class Summarizer:
    """What summaries are made with."""

    settings: Settings
    database: Database
    model: ChatModel
    models: ModelCatalog
    jobs: JobSender
    metrics: Metrics
    running: set[asyncio.Task[None]] = field(default_factory=set)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def window(self) -> int:
        """How many of the newest messages stay as they are."""
        return self.settings.history_window

    @property
    def lease(self) -> timedelta:
        """How long one chunk may take."""
        return timedelta(seconds=self.settings.summary_timeout_seconds)


class SummaryMessage(NamedTuple):
    """A message that is to be summarized."""

    position: int
    role: str
    content: str
    status: str


async def summarize(summarizer: Summarizer, chat_id: ChatId) -> None:
    """Fold what is due of a chat, chunk by chunk. Does nothing when somebody else is at it, or nothing is due.

    In a process that is leaving, neither: the sweep finds the chat again.
    """
    if summarizer.leaving.is_set():
        return
    running = asyncio.create_task(_summarize_chunks(summarizer, chat_id))
    summarizer.running.add(running)
    running.add_done_callback(summarizer.running.discard)
    try:
        await asyncio.wait([running])
    finally:
        running.cancel()
    if not running.cancelled():
        running.result()


async def drain(summarizer: Summarizer, seconds: float) -> None:
    """Let what is being summarized finish for so long, then give it back, so that another worker may begin at once."""
    summarizer.leaving.set()
    if summarizer.running:
        _, late = await asyncio.wait(summarizer.running, timeout=seconds)
        for running in late:
            running.cancel()


async def _summarize_chunks(summarizer: Summarizer, chat_id: ChatId) -> None:
    for _ in range(PASSES):
        if not await _pass(summarizer, chat_id, even_if_not_due=False):
            return
    summarizer.jobs.summarize(chat_id)


async def summarize_now(summarizer: Summarizer, chat_id: ChatId) -> bool:
    """Fold a few chunks at once, due or not, for an answer that would not fit otherwise. Returns whether any was."""
    summarized = False
    try:
        async with asyncio.timeout(NOW_WITHIN):
            for _ in range(PASSES_NOW):
                more = await _pass(summarizer, chat_id, even_if_not_due=True)
                summarized = summarized or more is not None
                if not more:
                    break
    except (TimeoutError, SQLAlchemyError) as error:
        log.warning("summarize_now_failed", error=type(error).__name__)
    return summarized


async def hint_due(summarizer: Summarizer) -> None:
    """Send jobs again for chats whose job may have been lost. Any number of times is harmless."""
    async with summarizer.database.connect() as db:
        found = (await db.execute(summaries.mark_resent(HINT_LOST_AFTER))).scalars().all()
    for chat_id in found:
        summarizer.jobs.summarize(ChatId(chat_id))


async def _pass(summarizer: Summarizer, chat_id: ChatId, *, even_if_not_due: bool) -> bool | None:
    """Fold one chunk. Returns whether there is more; None when nothing was summarized."""
    async with summarizer.database.connect() as db:
        claimed = await summaries.claim(db, chat_id, summarizer.lease, even_if_not_due=even_if_not_due)
        if claimed is None:
            return None
        upto = claimed.last - summarizer.window
        # After failures they are fewer: it may have been too much.
        limit = max(1, summarizer.settings.summary_chunk_messages >> claimed.failures)
        statement = summaries.messages_between(chat_id, claimed.watermark, upto, limit)
        rows = [SummaryMessage._make(row) for row in await db.execute(statement)] if upto > claimed.watermark else []
    if not rows:
        async with summarizer.database.begin() as db:
            await summaries.rest(db, claimed, summarizer.window)
        return None
    chunk = _that_fits(summarizer, claimed, rows)
    said = [row for row in chunk if row.content]
    try:
        answer = await _ask_for_summary(summarizer, claimed, said) if said else None
    except asyncio.CancelledError:
        async with summarizer.database.connect() as db:
            await db.execute(summaries.release(claimed))
        raise
    except (ModelError, TimeoutError) as error:
        log.warning("summary_failed", chat_id=chat_id, error=type(error).__name__)
        if not (isinstance(error, SummaryRefused) and len(said) == 1 and claimed.failures >= SKIP_AFTER):
            async with summarizer.database.connect() as db:
                await db.execute(summaries.failed(claimed))
            return None
        # One message must not keep all later ones from being remembered. Its facts are kept.
        log.warning("message_not_summarized", chat_id=chat_id, position=said[0].position)
        answer = None
    return await _save(summarizer, claimed, chunk, answer)


def _that_fits(
    summarizer: Summarizer, claimed: SummaryClaim, rows: Sequence[SummaryMessage]
) -> Sequence[SummaryMessage]:
    """As many of the messages as the model can read at once, one at least."""
    left = _budget(summarizer, claimed) >> claimed.failures
    for count, row in enumerate(rows):
        left -= len(row.content) // CHARS_PER_TOKEN + MARGIN_TOKENS // 4
        if left < 0 and count:
            return rows[:count]
    return rows


def _budget(summarizer: Summarizer, claimed: SummaryClaim) -> int:
    """The tokens that the quoted messages may take."""
    fixed = count_tokens(ModelMessage("system", prompts.summarize(summarizer.settings.summary_max_chars)))
    fixed += count_tokens(ModelMessage("user", claimed.summary or "")) + MARGIN_TOKENS
    return summarizer.models.with_fallback(summarizer.models.default).context_tokens - _max_tokens(summarizer) - fixed


def _max_tokens(summarizer: Summarizer) -> int:
    """What a summary may take. Models count other than we do, and are cut off if they say too much."""
    return min(
        summarizer.settings.model_max_tokens, summarizer.settings.summary_max_chars // CHARS_PER_TOKEN + MARGIN_TOKENS
    )


async def _ask_for_summary(summarizer: Summarizer, claimed: SummaryClaim, rows: Sequence[SummaryMessage]) -> Answer:
    """The new summary.

    Raises:
        ModelError: the model gave none, so that the old one is kept.
        TimeoutError: not in time.

    """
    max_chars = max(200, (_budget(summarizer, claimed) >> claimed.failures) * CHARS_PER_TOKEN)
    quoted = [(row.position, row.role, _shortened(row.content, max_chars)) for row in rows]
    conversation = [
        ModelMessage("system", prompts.summarize(summarizer.settings.summary_max_chars)),
        ModelMessage(
            "user",
            prompts.summary_request(
                claimed.summary or "", quoted, [fact.text for fact in claimed.facts if fact.pinned]
            ),
        ),
    ]
    async with asyncio.timeout(summarizer.settings.summary_timeout_seconds):
        request = ModelRequest(
            summarizer.models.default, conversation, max_tokens=_max_tokens(summarizer), is_brief=True
        )
        answer = await whole_answer(summarizer.model, request)
    await _note(summarizer, claimed, conversation, answer)
    if answer.finish_reason == "length" and not answer.text.strip():
        raise ModelBadResponse  # it thought for too long, as it may do over any text
    if answer.finish_reason == "content-filter" or not answer.text.strip():
        raise SummaryRefused
    return answer


async def _note(
    summarizer: Summarizer, claimed: SummaryClaim, conversation: Sequence[ModelMessage], answer: Answer
) -> None:
    """Note what the model call took, whatever its answer is worth."""
    taken = answer.usage
    if taken is None:
        prompt = sum(count_tokens(message) for message in conversation)
        completion = count_tokens(ModelMessage("assistant", answer.text))
        taken = estimate(prompt, completion)
    summarizer.metrics.tokens(answer.model, taken)
    statement = usage.record(
        claimed.user_id,
        "summary",
        answer.model,
        taken,
        chat_id=claimed.chat_id,
        is_estimate=answer.usage is None,
    )
    try:
        async with summarizer.database.connect() as db:
            await db.execute(statement)
    except IntegrityError:
        log.info("usage_not_noted", chat_id=claimed.chat_id)  # the account is gone


def _shortened(text: str, max_chars: int) -> str:
    """A message for the prompt: its middle left out when it is too long. Its facts are looked for in all of it."""
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return f"{text[:half]} … {text[-half:]}"


async def _save(
    summarizer: Summarizer, claimed: SummaryClaim, chunk: Sequence[SummaryMessage], answer: Answer | None
) -> bool | None:
    settings = summarizer.settings
    summary = claimed.summary
    if answer is not None:
        text = clean(answer.text).strip()
        most = settings.summary_max_chars
        summary = at_sentence_end(text, min(most, len(text) - 1) if answer.finish_reason == "length" else most)
    said = [SummarizedMessage(row.position, row.content) for row in chunk if row.role == "user"]
    if claimed.summary:
        # What it said of earlier messages, and the new one says no more.
        said.insert(0, SummarizedMessage(claimed.watermark, claimed.summary))
    # On a thread, for it may be a good deal of text.
    facts = await asyncio.to_thread(kept_facts, claimed.facts, said, summary or "", maximum=settings.facts_max)
    async with summarizer.database.begin() as db:
        saved = await summaries.save(db, claimed, summary, facts, chunk[-1].position, summarizer.window)
    if saved is None:
        log.info("summary_outrun", chat_id=claimed.chat_id)
    return saved


def at_sentence_end(text: str, max_chars: int) -> str:
    """`text`, cut behind its last whole sentence that fits, or behind a word where there is none."""
    if len(text) <= max_chars:
        return text
    cut = text[:max_chars]
    end = max(cut.rfind(mark) for mark in (". ", "! ", "? ", ".\n", "\n"))
    return cut[: end + 1].rstrip() if end > max_chars // 2 else cut.rpartition(" ")[0] or cut
