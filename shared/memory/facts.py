"""Facts: what a chat's memory knows besides its segments, each with where it comes from. Pure.

current ──┬──> replaced    another fact holds now; both are kept, and a person sees both
          └──> forgotten   a tombstone: its value is told no more, whatever text has it
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

from shared.ids import ChatId, MessageId

FACT_MAX_CHARS: Final = 200
LABEL_MAX_CHARS: Final = 60
MAX_KEPT: Final = 400
"""So many current facts are kept of a chat. Of more, the oldest go that have no kind, then the oldest."""

MAX_FORGOTTEN: Final = 400
"""So many tombstones a chat has at most."""

CHANGE: Final = "change"
"""The attribute of a sentence by which the user says that something is no longer as it was, and of which nobody said what."""
MAX_CHANGES: Final = 60
"""So many such sentences are kept of a chat, the newest."""

FactKind = Literal[
    "identity", "health", "preference", "instruction", "decision", "relation", "date", "number", "place", "other"
]
FactSource = Literal["user", "assistant", "web", "edited"]
FactState = Literal["current", "replaced", "forgotten"]

KINDS: Final[tuple[FactKind, ...]] = get_args(FactKind)


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact of a chat, or one that the user wrote for all chats, without a chat.

    `text` is what is told, at most FACT_MAX_CHARS characters; `quote` stands word for word in the message at `position`, and
    is empty where the user wrote the fact. `subject` and `attribute` name what the `value` is of; empty where nobody said.
    `source` is who said it: the user, the assistant, a web page that the assistant quoted; or "edited" by the user, who alone
    pins facts. `said_at` is the message's time. `forgotten_position`: what was said up to there is forgotten.
    """

    id: int
    chat_id: ChatId | None
    position: int | None
    kind: FactKind
    text: str
    source: FactSource
    said_at: datetime
    subject: str = ""
    attribute: str = ""
    value: str = ""
    quote: str = ""
    is_pinned: bool = False
    replaced_by: int | None = None
    forgotten_at: datetime | None = None
    forgotten_position: int | None = None

    @property
    def state(self) -> FactState:
        """Whether the fact holds."""
        if self.forgotten_at is not None:
            return "forgotten"
        return "current" if self.replaced_by is None else "replaced"

    @property
    def taken_back(self) -> str:
        """What is told no more because of this fact, if it is forgotten; empty where it has no words."""
        return self.value or self.quote

    @property
    def is_typed(self) -> bool:
        """Whether somebody said what it is about. Other facts are sentences with distinctive words, or that change something."""
        return self.kind != "other" or self.attribute not in {"", CHANGE}

    @property
    def is_change(self) -> bool:
        """Whether it is a sentence of the user's that changes something, and nobody said what. See CHANGE."""
        return self.kind == "other" and self.attribute == CHANGE and self.source == "user"


@dataclass(frozen=True, slots=True)
class NewFact:
    """A fact that is to be kept. See Fact. `replaces` are the ids of facts that hold no more because of it."""

    position: int | None
    message_id: MessageId | None
    kind: FactKind
    text: str
    source: FactSource
    said_at: datetime | None = None
    subject: str = ""
    attribute: str = ""
    value: str = ""
    quote: str = ""
    is_pinned: bool = False
    replaces: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What the user took back at a position: facts by their ids, and values that no fact may have had."""

    position: int
    fact_ids: tuple[int, ...] = ()
    values: tuple[str, ...] = ()
