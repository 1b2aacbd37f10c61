"""What a generation needs to know of its chat: memory, messages that the memory does not cover, look-ups, and what was found."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, select

from services.worker.generations.context import ChatMemory
from services.worker.generations.steps import found_pages, load
from services.worker.look_up.port import FoundMessage, HistoryIndex, Place
from services.worker.models.port import ModelMessage
from services.worker.prompts import BROKEN_OFF, Page
from shared.database.engine import Connection
from shared.database.tables import Chat, Generation, Message
from shared.generations.claim import Claimed
from shared.memory.facts import read_facts
from shared.states import MessageStatus
from shared.visible_text import is_blank

MAX_MESSAGES: Final = 500
"""More messages are not read. They would not fit into the prompt, so the chat is summarized first."""
MAX_SEARCHED: Final = 3
"""The pages of so many answers are known to later answers: of the newest that had any."""
MAX_PAGES: Final = 10
MAX_LOOKED_UP: Final = 6
"""So many messages behind the watermark are looked up for an answer."""


@dataclass(frozen=True, slots=True)
class ChatHistory:
    """A chat's memory, and the messages after the memory's watermark up to the question, in order.

    Answers that failed or were stopped say that they were broken off. `found` are pages of earlier searches, those of the
    newest answer first. `is_cut`: there are more messages after the watermark than MAX_MESSAGES; the oldest are missing here.
    `looked_up` are messages up to the `watermark` that bear on the question, the best first.
    """

    memory: ChatMemory
    messages: list[ModelMessage]
    is_cut: bool
    found: tuple[Page, ...] = ()
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


async def load_history(db: Connection, claimed: Claimed, index: HistoryIndex) -> ChatHistory:
    """The memory that came with the claim, and the messages that the memory does not cover. Empty replies are left out.

    Covered messages that bear on the question are looked up in the index.

    Messages don't change. So the watermark that was read with the memory still says which messages the memory covers.
    """
    memory = ChatMemory(claimed.summary, read_facts(claimed.facts))
    return await _with_history(db, memory, claimed, claimed.watermark, index)


async def reload_history(db: Connection, claimed: Claimed, index: HistoryIndex) -> ChatHistory:
    """The same as `load_history`, with the chat's memory as it is now."""
    row = (await db.execute(_MEMORY, {"chat": claimed.chat_id})).one_or_none()
    summary, facts, watermark = row or (None, None, 0)
    memory = ChatMemory(summary, read_facts(facts))
    return await _with_history(db, memory, claimed, watermark, index)


async def _with_history(
    db: Connection, memory: ChatMemory, claimed: Claimed, watermark: int, index: HistoryIndex
) -> ChatHistory:
    chat_id, question = claimed.chat_id, claimed.user_message_id
    values = {"chat": chat_id, "question": question, "watermark": watermark}
    rows = (await db.execute(_HISTORY, values)).all()
    history = [read_message(*row) for row in reversed(rows[:MAX_MESSAGES]) if not is_blank(row.content)]
    searched = (await db.execute(_SEARCHED, {"chat": chat_id, "question": question})).scalars()
    pages: dict[str, Page] = {}
    for page in (page for steps in searched for page in found_pages(load(steps))):
        pages.setdefault(page.url, page)
    looked_up: list[FoundMessage] = []
    if watermark:
        asked = [message.content for message in history if message.role == "user"]
        place = Place(claimed.user_id, chat_id, watermark)
        looked_up = await index.find(db, place, "".join(asked[-1:]), before="".join(asked[-2:-1]), limit=MAX_LOOKED_UP)
    return ChatHistory(
        memory,
        history,
        is_cut=len(rows) > MAX_MESSAGES,
        found=tuple(pages.values())[:MAX_PAGES],
        watermark=watermark,
        looked_up=tuple(looked_up),
    )


def read_message(role: str, content: str, status: str) -> ModelMessage:
    """A message as the model gets it: an answer that is not whole says so."""
    if role == "user":
        return ModelMessage("user", content)
    is_whole = status == MessageStatus.COMPLETED
    return ModelMessage("assistant", content if is_whole else f"{content}\n\n{BROKEN_OFF}")
