"""The messages that a segment is made of."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import aliased

from shared.database.tables import Message
from shared.ids import ChatId, MessageId
from shared.memory.facts import FactSource
from shared.memory.summaries import first_pending


class SummarizedMessage(NamedTuple):
    """A message that is to be summarized. `has_sources`: it quotes pages of the web."""

    id: MessageId
    position: int
    role: str
    content: str
    said_at: datetime
    has_sources: bool

    @property
    def source(self) -> FactSource:
        """Who says what the message says."""
        if self.role == "user":
            return "user"
        return "web" if self.has_sources else "assistant"


_COLUMNS: Final = (
    Message.id,
    Message.position,
    Message.role,
    Message.content,
    Message.created_at,
    Message.sources.is_not(None).label("has_sources"),
)


def messages_of_stretch(chat_id: ChatId, first: int, last: int) -> Select[*tuple[Any, ...]]:
    """The active path's messages with first <= position <= last, by position."""
    here = (Message.chat_id == chat_id, Message.position.between(first, last), ~Message.replaced)
    return select(*_COLUMNS).where(*here).order_by(Message.position)


def next_messages(chat_id: ChatId, watermark: int, window: int, limit: int) -> Select[*tuple[Any, ...]]:
    """The first messages of the active path past the watermark, by position, at most `limit`.

    None of the newest `window` is among them, and none from the first reply on that is pending. One statement says which
    these are: since a chat was claimed, another path may have become the active one.
    """
    other = aliased(Message)
    last = (
        select(other.position)
        .where(
            other.chat_id == chat_id,
            other.position > watermark,
            other.position < first_pending(chat_id, watermark),
            ~other.replaced,
        )
        .order_by(other.position.desc())
        .offset(window)
        .limit(1)
        .scalar_subquery()
    )
    here = (Message.chat_id == chat_id, Message.position > watermark, Message.position <= last, ~Message.replaced)
    return select(*_COLUMNS).where(*here).order_by(Message.position).limit(limit)


def read_row(row: Row[*tuple[Any, ...]]) -> SummarizedMessage:
    """A row of these statements."""
    return SummarizedMessage._make(row)
