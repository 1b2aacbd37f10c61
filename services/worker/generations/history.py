"""What a generation needs to know of its chat: memory, messages that the memory does not cover, and pages."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import BigInteger, bindparam, func, select

from services.worker.generations.steps import found_pages, load
from services.worker.look_up.port import FoundMessage
from services.worker.models.port import ModelMessage
from services.worker.prompts import Page
from shared.database.engine import Connection
from shared.database.tables import Generation, Message
from shared.generations.claim import Claimed
from shared.generations.outcome import BROKEN_OFF
from shared.generations.path_rows import load_earlier
from shared.generations.told_path import Earlier
from shared.memory.chat_memory import ChatMemory, read_memory
from shared.memory.masking import Mask
from shared.states import MessageStatus
from shared.visible_text import is_blank

MAX_MESSAGES: Final = 500
"""More messages are not read. They would not fit into the prompt, so the chat is summarized first."""
MAX_SEARCHED: Final = 3
"""The pages of so many answers are known to later answers: of the newest that had any."""
MAX_PAGES: Final = 10
SHORT_CHARS: Final = 3_000
"""So many characters are masked on the event loop: a thread takes about as long to begin."""


@dataclass(frozen=True, slots=True)
class ChatHistory:
    """A chat's memory, and the messages after the memory's watermark up to the question, in order; the question always.

    Answers that failed or were stopped say that they were broken off. `positions` are those of the messages. `pages` are pages
    of earlier searches, those of the newest answer first. `unread` is how many more messages than MAX_MESSAGES are after the
    watermark; the oldest are missing here. `looked_up` are messages up to the watermark that bear on the question, the best
    first. `earlier` is what was said before a request that the model is told with the conversation's items; of such a chat,
    nothing else is read.
    """

    memory: ChatMemory
    messages: list[ModelMessage]
    positions: tuple[int, ...] = ()
    unread: int = 0
    pages: tuple[Page, ...] = ()
    looked_up: tuple[FoundMessage, ...] = ()
    earlier: Earlier | None = None

    @property
    def question(self) -> str:
        """The message that is to be answered."""
        return self.messages[-1].content if self.messages else ""


_QUESTION: Final = select(Message.position).where(Message.id == bindparam("question")).correlate(None).scalar_subquery()
_HISTORY: Final = (
    select(Message.role, Message.content, Message.status, Message.position)
    .where(
        Message.chat_id == bindparam("chat"),
        # The question itself is always told, also where a segment covers it: a model has to have something to answer.
        Message.position > func.least(bindparam("watermark", type_=BigInteger), _QUESTION - 1),
        Message.position <= _QUESTION,
        Message.content != "",
        ~Message.replaced,
    )
    .order_by(Message.position.desc())
    .limit(MAX_MESSAGES + 1)
)
_SEARCHED: Final = (
    select(Generation.steps)
    .join(Message, Message.id == Generation.assistant_message_id)
    .where(
        Generation.chat_id == bindparam("chat"),
        Generation.user_message_id < bindparam("question"),
        ~Message.replaced,
        Generation.steps.is_not(None),
    )
    .order_by(Generation.user_message_id.desc())
    .limit(MAX_SEARCHED)
)
_COUNT: Final = select(func.count()).where(
    Message.chat_id == bindparam("chat"),
    Message.position > bindparam("watermark"),
    Message.content != "",
    ~Message.replaced,
)


async def load_history(db: Connection, claimed: Claimed) -> ChatHistory:
    """The chat's memory as it is now, and the messages that the memory does not cover.

    Empty replies and replaced messages are left out. What bears on the question is looked up apart (earlier_messages.py).

    Messages don't change, and what is active changes only while nothing is generated. So the watermark that was read with the
    memory still says which messages the memory covers.
    """
    if claimed.parameters is not None and claimed.parameters.get("messages"):
        return ChatHistory(ChatMemory(), [], earlier=await _load_earlier(db, claimed))
    chat_id, question = claimed.chat_id, claimed.user_message_id
    memory = await read_memory(db, chat_id) or ChatMemory()
    values = {"chat": chat_id, "question": question, "watermark": memory.watermark}
    rows = (await db.execute(_HISTORY, values)).all()
    said = [row for row in reversed(rows[:MAX_MESSAGES]) if not is_blank(row.content)]
    history = [read_message(row.role, row.content, row.status) for row in said]
    unread = 0
    if len(rows) > MAX_MESSAGES:
        past = (await db.execute(_COUNT, {"chat": chat_id, "watermark": memory.watermark})).scalar_one()
        unread = max(1, past - MAX_MESSAGES)
    searched = (await db.execute(_SEARCHED, {"chat": chat_id, "question": question})).scalars()
    pages: dict[str, Page] = {}
    for page in (page for steps in searched for page in found_pages(load(steps))):
        pages.setdefault(page.url, page)
    positions = tuple(row.position for row in said)
    return ChatHistory(memory, history, positions, unread=unread, pages=tuple(pages.values())[:MAX_PAGES])


async def _load_earlier(db: Connection, claimed: Claimed) -> Earlier | None:
    """What was said before the question; None where the request brings the whole context along."""
    if not (claimed.parameters and claimed.parameters.get("continues_chat")):
        return None
    asked_at = select(Message.position).where(Message.id == claimed.user_message_id).scalar_subquery()
    return await load_earlier(db, claimed.chat_id, ~Message.replaced, Message.position < asked_at)


async def without_forgotten(history: ChatHistory) -> ChatHistory:
    """The history without what the user took back later than it was said. The caller holds no connection."""
    gone = [(one.forgotten_position or 0, one.taken_back) for one in history.memory.tombstones if one.taken_back]
    if not gone:
        return history
    if sum(len(message.content) for message in history.messages) <= SHORT_CHARS:
        return replace(history, messages=_masked(history, gone))
    return replace(history, messages=await asyncio.to_thread(_masked, history, gone))


def _masked(history: ChatHistory, gone: Sequence[tuple[int, str]]) -> list[ModelMessage]:
    masks: dict[int, Mask] = {}
    messages = list[ModelMessage]()
    for message, position in zip(history.messages, history.positions, strict=True):
        # Few are forgotten, so most messages have the same ones before them.
        at = min((until for until, _ in gone if until >= position), default=0)
        if at not in masks:
            masks[at] = Mask(value for until, value in gone if at and until >= at)
        messages.append(replace(message, content=masks[at](message.content)))
    return messages


def read_message(role: str, content: str, status: str) -> ModelMessage:
    """A message as the model gets it: an answer that is not whole says so."""
    if role == "user":
        return ModelMessage("user", content)
    is_whole = status == MessageStatus.COMPLETED
    return ModelMessage("assistant", content if is_whole else f"{content}\n\n{BROKEN_OFF}")
