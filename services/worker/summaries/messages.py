"""The messages that a segment is made of."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, select

from shared.database.tables import Message
from shared.ids import ChatId, MessageId
from shared.memory.facts import FactSource


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


def messages_to_summarize(chat_id: ChatId, watermark: int, upto: int, limit: int) -> Select[*tuple[Any, ...]]:
    """The chat's messages with watermark < position <= upto, by position."""
    return (
        select(
            Message.id,
            Message.position,
            Message.role,
            Message.content,
            Message.created_at,
            Message.sources.is_not(None).label("has_sources"),
        )
        .where(Message.chat_id == chat_id, Message.position > watermark, Message.position <= upto)
        .order_by(Message.position)
        .limit(limit)
    )


def read_row(row: Row[*tuple[Any, ...]]) -> SummarizedMessage:
    """A row of `messages_to_summarize`."""
    return SummarizedMessage._make(row)
