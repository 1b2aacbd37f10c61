"""Messages, facts and segments as tests need them: only what a test is about is said."""

from datetime import UTC, datetime
from typing import Any, Final

from services.worker.summaries.messages import SummarizedMessage
from shared.ids import ChatId, MessageId
from shared.memory.chat_memory import ChatMemory, SharedFact
from shared.memory.facts import Fact
from shared.memory.segments import Segment

SAID_AT: Final = datetime(2026, 5, 1, 9, tzinfo=UTC)


def said(position: int, content: str, role: str = "user", *, has_sources: bool = False) -> SummarizedMessage:
    """A message that is to be summarized. Its id is its position, plus 1,000."""
    return SummarizedMessage(MessageId(1_000 + position), position, role, content, SAID_AT, has_sources)


def fact(number: int, text: str, **values: Any) -> Fact:  # noqa: ANN401 - whatever a Fact has
    """A current fact of the user's without a kind, said at the position that is its number."""
    besides: dict[str, Any] = {"chat_id": ChatId(1), "position": number, "kind": "other", "source": "user"}
    return Fact(**{"id": number, "text": text, "said_at": SAID_AT, **besides, **values})


def forgotten(number: int, value: str, at: int, **values: Any) -> Fact:  # noqa: ANN401 - likewise
    """A fact that was forgotten when `at` was the last position."""
    return fact(number, "", value=value, forgotten_at=SAID_AT, forgotten_position=at, **values)


def remembered(*texts: str, facts: tuple[Fact, ...] = (), shared: tuple[SharedFact, ...] = ()) -> ChatMemory:
    """A memory of which each text is a segment of ten messages."""
    segments = tuple(Segment(10 * n + 1, 10 * n + 10, text, id=n + 1) for n, text in enumerate(texts))
    return ChatMemory(segments, facts, shared, watermark=10 * len(texts))
