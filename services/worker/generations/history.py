"""What a generation needs to know of its chat: memory, messages that the memory does not cover, pages, and look-ups."""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from services.worker.generations.context import ChatMemory
from services.worker.generations.steps import found_pages, load
from services.worker.look_up.port import FoundMessage, HistoryIndex, Scope
from services.worker.models.port import ModelMessage
from services.worker.prompts import BROKEN_OFF, Page
from shared.database.engine import Connection
from shared.database.tables import Chat, Generation, Message
from shared.generations.claim import Claimed
from shared.memory.facts import read_facts
from shared.states import MessageStatus
from shared.telemetry.logs import get_logger
from shared.visible_text import is_blank

log = get_logger(__name__)

MAX_MESSAGES: Final = 500
"""More messages are not read. They would not fit into the prompt, so the chat is summarized first."""
MAX_SEARCHED: Final = 3
"""The pages of so many answers are known to later answers: of the newest that had any."""
MAX_PAGES: Final = 10
MAX_LOOKED_UP: Final = 6
"""So many messages behind the watermark are looked up for an answer."""
LOOK_UP_WITHIN: Final = 3.0
"""Seconds that an answer waits for what is looked up. Then the answer goes on without that."""


@dataclass(frozen=True, slots=True)
class ChatHistory:
    """A chat's memory, and the messages after the memory's watermark up to the question, in order.

    Answers that failed or were stopped say that they were broken off. `pages` are pages of earlier searches, those of the
    newest answer first. `is_cut`: there are more messages after the watermark than MAX_MESSAGES; the oldest are missing here.
    `looked_up` are messages up to the `watermark` that bear on the question, the best first; see `look_up`.
    """

    memory: ChatMemory
    messages: list[ModelMessage]
    is_cut: bool
    pages: tuple[Page, ...] = ()
    watermark: int = 0
    looked_up: tuple[FoundMessage, ...] = ()

    @property
    def question(self) -> str:
        """The message that is to be answered."""
        return self.messages[-1].content if self.messages else ""


_HISTORY: Final = (
    select(Message.role, Message.content, Message.status)
    .where(
        Message.chat_id == bindparam("chat"),
        Message.position > bindparam("watermark"),
        Message.position
        <= select(Message.position).where(Message.id == bindparam("question")).correlate(None).scalar_subquery(),
        Message.content != "",
    )
    .order_by(Message.position.desc())
    .limit(MAX_MESSAGES + 1)
)
_SEARCHED: Final = (
    select(Generation.steps)
    .where(
        Generation.chat_id == bindparam("chat"),
        Generation.user_message_id < bindparam("question"),
        Generation.steps.is_not(None),
    )
    .order_by(Generation.user_message_id.desc())
    .limit(MAX_SEARCHED)
)
_MEMORY: Final = select(Chat.summary, Chat.facts, Chat.summary_position).where(Chat.id == bindparam("chat"))


async def load_history(db: Connection, claimed: Claimed) -> ChatHistory:
    """The memory that came with the claim, and the messages that the memory does not cover. Empty replies are left out.

    Nothing is looked up yet.

    Messages don't change. So the watermark that was read with the memory still says which messages the memory covers.
    """
    memory = ChatMemory(claimed.summary, read_facts(claimed.facts))
    return await _with_history(db, memory, claimed, claimed.watermark)


async def reload_history(db: Connection, claimed: Claimed) -> ChatHistory:
    """The same as `load_history`, with the chat's memory as it is now."""
    row = (await db.execute(_MEMORY, {"chat": claimed.chat_id})).one_or_none()
    summary, facts, watermark = row or (None, None, 0)
    memory = ChatMemory(summary, read_facts(facts))
    return await _with_history(db, memory, claimed, watermark)


async def look_up(history: ChatHistory, claimed: Claimed, index: HistoryIndex) -> ChatHistory:
    """The history with the covered messages that bear on the question; as it was when the look-up fails. Never raises.

    An answer without them is better than none. The caller holds no connection: to make terms and excerpts takes time.
    """
    if not history.watermark:
        return history
    asked = [message.content for message in history.messages if message.role == "user"]
    question, before = "".join(asked[-1:]), "".join(asked[-2:-1])
    scope = Scope(claimed.user_id, claimed.chat_id, history.watermark)
    try:
        async with asyncio.timeout(LOOK_UP_WITHIN):
            found = await index.find(scope, question, before=before, limit=MAX_LOOKED_UP)
    except (SQLAlchemyError, TimeoutError) as error:
        log.warning("look_up_failed", error=type(error).__name__)
        return history
    return replace(history, looked_up=tuple(found))


async def _with_history(db: Connection, memory: ChatMemory, claimed: Claimed, watermark: int) -> ChatHistory:
    chat_id, question = claimed.chat_id, claimed.user_message_id
    values = {"chat": chat_id, "question": question, "watermark": watermark}
    rows = (await db.execute(_HISTORY, values)).all()
    history = [read_message(*row) for row in reversed(rows[:MAX_MESSAGES]) if not is_blank(row.content)]
    searched = (await db.execute(_SEARCHED, {"chat": chat_id, "question": question})).scalars()
    pages: dict[str, Page] = {}
    for page in (page for steps in searched for page in found_pages(load(steps))):
        pages.setdefault(page.url, page)
    return ChatHistory(
        memory,
        history,
        is_cut=len(rows) > MAX_MESSAGES,
        pages=tuple(pages.values())[:MAX_PAGES],
        watermark=watermark,
    )


def read_message(role: str, content: str, status: str) -> ModelMessage:
    """A message as the model gets it: an answer that is not whole says so."""
    if role == "user":
        return ModelMessage("user", content)
    is_whole = status == MessageStatus.COMPLETED
    return ModelMessage("assistant", content if is_whole else f"{content}\n\n{BROKEN_OFF}")
