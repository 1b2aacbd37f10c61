"""What a generation needs to know of its chat: memory, messages that the memory does not cover, pages, and look-ups."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import bindparam, func, select
from sqlalchemy.exc import SQLAlchemyError

from services.worker.generations.steps import found_pages, load
from services.worker.look_up.port import FoundMessage, HistoryIndex, Scope
from services.worker.models.port import ModelMessage
from services.worker.prompts import BROKEN_OFF, Page
from shared.database.engine import Connection
from shared.database.tables import Generation, Message
from shared.generations.claim import Claimed
from shared.memory.chat_memory import ChatMemory, read_memory
from shared.memory.facts import Fact, masked
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
"""Seconds. An answer does not wait longer for what it can do without."""


@dataclass(frozen=True, slots=True)
class ChatHistory:
    """A chat's memory, and the messages after the memory's watermark up to the question, in order.

    Answers that failed or were stopped say that they were broken off. `pages` are pages of earlier searches, those of the
    newest answer first. `unread` is how many more messages than MAX_MESSAGES are after the watermark; the oldest are missing
    here. `looked_up` are messages up to the watermark that bear on the question, the best first.
    """

    memory: ChatMemory
    messages: list[ModelMessage]
    unread: int = 0
    pages: tuple[Page, ...] = ()
    looked_up: tuple[FoundMessage, ...] = ()

    @property
    def question(self) -> str:
        """The message that is to be answered."""
        return self.messages[-1].content if self.messages else ""


_HISTORY: Final = (
    select(Message.role, Message.content, Message.status, Message.position)
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
_COUNT: Final = select(func.count()).where(
    Message.chat_id == bindparam("chat"), Message.position > bindparam("watermark"), Message.content != ""
)


async def load_history(db: Connection, claimed: Claimed) -> ChatHistory:
    """The chat's memory as it is now, and the messages that the memory does not cover. Empty replies are left out.

    Nothing is looked up yet.

    Messages don't change. So the watermark that was read with the memory still says which messages the memory covers.
    """
    chat_id, question = claimed.chat_id, claimed.user_message_id
    memory = await read_memory(db, chat_id) or ChatMemory()
    values = {"chat": chat_id, "question": question, "watermark": memory.watermark}
    rows = (await db.execute(_HISTORY, values)).all()
    gone = memory.tombstones
    history = [
        read_message(row.role, _without_forgotten(row.content, row.position, gone), row.status)
        for row in reversed(rows[:MAX_MESSAGES])
        if not is_blank(row.content)
    ]
    unread = 0
    if len(rows) > MAX_MESSAGES:
        past = (await db.execute(_COUNT, {"chat": chat_id, "watermark": memory.watermark})).scalar_one()
        unread = max(1, past - MAX_MESSAGES)
    searched = (await db.execute(_SEARCHED, {"chat": chat_id, "question": question})).scalars()
    pages: dict[str, Page] = {}
    for page in (page for steps in searched for page in found_pages(load(steps))):
        pages.setdefault(page.url, page)
    return ChatHistory(memory, history, unread=unread, pages=tuple(pages.values())[:MAX_PAGES])


async def look_up(history: ChatHistory, claimed: Claimed, index: HistoryIndex) -> ChatHistory:
    """The history with the covered messages that bear on the question; as it was when the look-up fails. Never raises.

    An answer without them is better than none. The caller holds no connection: to make terms and excerpts takes time.
    """
    if not history.memory.watermark:
        return history
    asked = [message.content for message in history.messages if message.role == "user"]
    question, before = "".join(asked[-1:]), "".join(asked[-2:-1])
    scope = Scope(claimed.user_id, claimed.chat_id, history.memory.watermark)
    try:
        async with asyncio.timeout(LOOK_UP_WITHIN):
            found = await index.find(scope, question, before=before, limit=MAX_LOOKED_UP)
    except (SQLAlchemyError, TimeoutError) as error:
        log.warning("look_up_failed", error=type(error).__name__)
        return history
    return replace(history, looked_up=tuple(found))


def _without_forgotten(content: str, position: int, gone: Sequence[Fact]) -> str:
    """A message's content without what the user took back after it, or with it."""
    return masked(content, [one.taken_back for one in gone if position <= (one.forgotten_position or 0)])


def read_message(role: str, content: str, status: str) -> ModelMessage:
    """A message as the model gets it: an answer that is not whole says so."""
    if role == "user":
        return ModelMessage("user", content)
    is_whole = status == MessageStatus.COMPLETED
    return ModelMessage("assistant", content if is_whole else f"{content}\n\n{BROKEN_OFF}")
