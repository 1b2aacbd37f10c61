"""Folding: the older messages of a chat go into its summary, each once, and the watermark moves past them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NamedTuple

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from services.worker import prompts
from services.worker.models.groq.client import CHARS_PER_TOKEN, Answer, Model, Said, tokens
from services.worker.summaries.facts import Folded, kept_facts
from shared import usage
from shared.database.engine import Database
from shared.errors import ModelBadResponse, ModelError, SummaryRefused
from shared.ids import ChatId
from shared.jobs.sender import Hints
from shared.memory import summaries
from shared.memory.summaries import Memory
from shared.protocol.frames import clean
from shared.settings import Settings
from shared.telemetry.logs import get_logger

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
class Folder:
    """What summaries are made with."""

    settings: Settings
    database: Database
    model: Model
    hints: Hints
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


class Message(NamedTuple):
    """A message that is to be folded."""

    position: int
    role: str
    content: str
    status: str


async def fold(folder: Folder, chat_id: ChatId) -> None:
    """Fold what is due of a chat, chunk by chunk. Does nothing when somebody else is at it, or nothing is due.

    In a process that is leaving, neither: the sweep finds the chat again.
    """
    if folder.leaving.is_set():
        return
    folding = asyncio.create_task(_fold(folder, chat_id))
    folder.running.add(folding)
    folding.add_done_callback(folder.running.discard)
    try:
        await asyncio.wait([folding])
    finally:
        folding.cancel()
    if not folding.cancelled():
        folding.result()


async def drain(folder: Folder, seconds: float) -> None:
    """Let what is being folded finish for so long, then give it back, so that another worker may begin at once."""
    folder.leaving.set()
    if folder.running:
        _, late = await asyncio.wait(folder.running, timeout=seconds)
        for folding in late:
            folding.cancel()


async def _fold(folder: Folder, chat_id: ChatId) -> None:
    for _ in range(PASSES):
        if not await _pass(folder, chat_id, at_once=False):
            return
    folder.hints.summarize(chat_id)


async def fold_now(folder: Folder, chat_id: ChatId) -> bool:
    """Fold a few chunks at once, due or not, for an answer that would not fit otherwise. Returns whether any was."""
    folded = False
    try:
        async with asyncio.timeout(NOW_WITHIN):
            for _ in range(PASSES_NOW):
                more = await _pass(folder, chat_id, at_once=True)
                folded = folded or more is not None
                if not more:
                    break
    except (TimeoutError, SQLAlchemyError) as error:
        log.warning("fold_now_failed", error=type(error).__name__)
    return folded


async def hint_due(folder: Folder) -> None:
    """Send hints for chats whose own may have been lost. Any number of times is harmless."""
    async with folder.database.connect() as db:
        found = (await db.execute(summaries.hinted_again(HINT_LOST_AFTER))).scalars().all()
    for chat_id in found:
        folder.hints.summarize(ChatId(chat_id))


async def _pass(folder: Folder, chat_id: ChatId, *, at_once: bool) -> bool | None:
    """Fold one chunk. Returns whether there is more; None when nothing was folded."""
    async with folder.database.connect() as db:
        held = await summaries.claim(db, chat_id, folder.lease, at_once=at_once)
        if held is None:
            return None
        upto = held.last - folder.window
        # After failures they are fewer: it may have been too much.
        limit = max(1, folder.settings.summary_chunk_messages >> held.failures)
        statement = summaries.messages_between(chat_id, held.watermark, upto, limit)
        rows = [Message._make(row) for row in await db.execute(statement)] if upto > held.watermark else []
    if not rows:
        async with folder.database.begin() as db:
            await summaries.rest(db, held, folder.window)
        return None
    chunk = _that_fits(folder, held, rows)
    said = [row for row in chunk if row.content]
    try:
        answer = await _summarize(folder, held, said) if said else None
    except asyncio.CancelledError:
        async with folder.database.connect() as db:
            await db.execute(summaries.release(held))
        raise
    except (ModelError, TimeoutError) as error:
        log.warning("summary_failed", chat_id=chat_id, error=type(error).__name__)
        if not (isinstance(error, SummaryRefused) and len(said) == 1 and held.failures >= SKIP_AFTER):
            async with folder.database.connect() as db:
                await db.execute(summaries.failed(held))
            return None
        # One message must not keep all later ones from being remembered. Its facts are kept.
        log.warning("message_not_summarized", chat_id=chat_id, position=said[0].position)
        answer = None
    return await _save(folder, held, chunk, answer)


def _that_fits(folder: Folder, held: Memory, rows: Sequence[Message]) -> Sequence[Message]:
    """As many of the messages as the model can read at once, one at least."""
    left = _budget(folder, held) >> held.failures
    for count, row in enumerate(rows):
        left -= len(row.content) // CHARS_PER_TOKEN + MARGIN_TOKENS // 4
        if left < 0 and count:
            return rows[:count]
    return rows


def _budget(folder: Folder, held: Memory) -> int:
    """The tokens that the quoted messages may take."""
    fixed = tokens(Said("system", prompts.summarize(folder.settings.summary_max_chars)))
    fixed += tokens(Said("user", held.summary or "")) + MARGIN_TOKENS
    return folder.settings.context_tokens() - _max_tokens(folder) - fixed


def _max_tokens(folder: Folder) -> int:
    """What a summary may take. Models count other than we do, and are cut off if they say too much."""
    return min(folder.settings.model_max_tokens, folder.settings.summary_max_chars // CHARS_PER_TOKEN + MARGIN_TOKENS)


async def _summarize(folder: Folder, held: Memory, rows: Sequence[Message]) -> Answer:
    """The new summary.

    Raises:
        ModelError: the model gave none, so that the old one is kept.
        TimeoutError: not in time.

    """
    max_chars = max(200, (_budget(folder, held) >> held.failures) * CHARS_PER_TOKEN)
    quoted = [(row.position, row.role, _shortened(row.content, max_chars)) for row in rows]
    conversation = [
        Said("system", prompts.summarize(folder.settings.summary_max_chars)),
        Said("user", prompts.to_fold(held.summary or "", quoted, [fact.text for fact in held.facts if fact.pinned])),
    ]
    async with asyncio.timeout(folder.settings.summary_timeout_seconds):
        answer = await folder.model.answer(conversation, max_tokens=_max_tokens(folder))
    await _note(folder, held, conversation, answer)
    if answer.finish_reason == "length" and not answer.text.strip():
        raise ModelBadResponse  # it thought for too long, as it may do over any text
    if answer.finish_reason == "content-filter" or not answer.text.strip():
        raise SummaryRefused
    return answer


async def _note(folder: Folder, held: Memory, conversation: Sequence[Said], answer: Answer) -> None:
    """Note what the model call took, whatever its answer is worth."""
    taken = answer.usage
    if taken is None:
        prompt, completion = sum(tokens(said) for said in conversation), tokens(Said("assistant", answer.text))
        taken = {"promptTokens": prompt, "completionTokens": completion, "totalTokens": prompt + completion}
    statement = usage.record(
        held.user_id, "summary", answer.model, taken, chat_id=held.chat_id, is_estimate=answer.usage is None
    )
    try:
        async with folder.database.connect() as db:
            await db.execute(statement)
    except IntegrityError:
        log.info("usage_not_noted", chat_id=held.chat_id)  # the account is gone


def _shortened(text: str, max_chars: int) -> str:
    """A message for the prompt: its middle left out when it is too long. Its facts are looked for in all of it."""
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return f"{text[:half]} … {text[-half:]}"


async def _save(folder: Folder, held: Memory, chunk: Sequence[Message], answer: Answer | None) -> bool | None:
    settings = folder.settings
    summary = held.summary
    if answer is not None:
        text = clean(answer.text).strip()
        most = settings.summary_max_chars
        summary = at_sentence_end(text, min(most, len(text) - 1) if answer.finish_reason == "length" else most)
    said = [Folded(row.position, row.content) for row in chunk if row.role == "user"]
    if held.summary:
        # What it said of earlier messages, and the new one says no more.
        said.insert(0, Folded(held.watermark, held.summary))
    # On a thread, for it may be a good deal of text.
    facts = await asyncio.to_thread(kept_facts, held.facts, said, summary or "", maximum=settings.facts_max)
    async with folder.database.begin() as db:
        saved = await summaries.save(db, held, summary, facts, chunk[-1].position, folder.window)
    if saved is None:
        log.info("summary_outrun", chat_id=held.chat_id)
    return saved


def at_sentence_end(text: str, max_chars: int) -> str:
    """`text`, cut behind its last whole sentence that fits, or behind a word where there is none."""
    if len(text) <= max_chars:
        return text
    cut = text[:max_chars]
    end = max(cut.rfind(mark) for mark in (". ", "! ", "? ", ".\n", "\n"))
    return cut[: end + 1].rstrip() if end > max_chars // 2 else cut.rpartition(" ")[0] or cut
