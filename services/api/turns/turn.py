"""A turn: a message, once it is accepted with the reply that it asks for; and the key under which a client may repeat it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.states import GenerationStatus

OnConflict = Literal["reject", "interrupt", "enqueue"]
"""A message whose chat is generating is refused, or stops the generation, or waits behind it."""


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A message that a user sends to a chat.

    Without a `model`, the default model answers. `time_zone` is the user's for this message; None for the account's. `key` is
    the client's own for this message; None where the client has none.
    """

    user_id: UserId
    chat_id: ChatId
    content: str
    on_conflict: OnConflict = "reject"
    model: str | None = None
    time_zone: str | None = None
    key: str | None = None

    @property
    def first_status(self) -> GenerationStatus:
        """The status with which the generation begins."""
        return GenerationStatus.WAITING if self.on_conflict == "enqueue" else GenerationStatus.QUEUED


class Key(NamedTuple):
    """A client's key for one message, and the hash of what the client sent with it."""

    key: str
    body_hash: str


class Turn(NamedTuple):
    """An accepted message, its empty reply, and its generation. `position` and `created_at` are the message's.

    `is_repeated` says that the message was accepted before, and was found by its key. `first_title` is the title that the
    message gave to its chat; None where the chat had one.
    """

    generation_id: GenerationId
    user_message_id: MessageId
    assistant_message_id: MessageId
    position: int
    created_at: datetime
    status: str
    is_repeated: bool = False
    first_title: str | None = None
