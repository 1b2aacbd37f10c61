"""The port to what finds older messages of a chat: messages go in when they fall behind the watermark, and come out quoted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, Protocol

from shared.database.engine import Connection
from shared.ids import ChatId, MessageId, UserId

IndexEntry = dict[str, Any]
"""A message as an index saves it, in a form of the index's own."""


class IndexedMessage(NamedTuple):
    """A message that falls behind the watermark and is to be found later. Its text may be empty; then it never is."""

    id: MessageId
    position: int
    role: str
    content: str


class FoundMessage(NamedTuple):
    """A message that was looked up: its position, who wrote it, the day (UTC), and its text or an excerpt of its text."""

    position: int
    role: str
    day: date
    text: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a search looks: in this chat of this user, at the positions `after` < position <= `upto`.

    `forgotten` are values that the user took back. They are found, but no text that is given has them.
    """

    user_id: UserId
    chat_id: ChatId
    upto: int
    after: int = 0
    forgotten: tuple[str, ...] = ()


class HistoryIndex(Protocol):
    """Finds messages by what they say."""

    async def prepare(self, chat_id: ChatId, messages: Sequence[IndexedMessage]) -> Sequence[IndexEntry]:
        """What `add` saves of these messages. Belongs before the transaction: this may take long, and needs no connection."""
        ...

    async def add(self, db: Connection, entries: Sequence[IndexEntry]) -> None:
        """Have the prepared messages of one chat found from now on, as they were then. Harmless when it is done again.

        Belongs in a transaction that has locked the chat's row.
        """
        ...

    async def find(self, scope: Scope, question: str, *, before: str = "", limit: int) -> list[FoundMessage]:
        """The messages that bear on the question, the best first, at most `limit`.

        `before` is what the user said before the question: it counts too, but less. Whoever deletes or replaces a message
        need not tell the index: replaced messages are not found. The caller holds no connection meanwhile.

        Raises:
            SQLAlchemyError: the database does not answer, or refuses.

        """
        ...
