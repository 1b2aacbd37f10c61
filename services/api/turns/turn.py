"""A turn: a message, once it is accepted with the reply that it asks for; and the key under which a client may repeat it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, NamedTuple

from shared.generations.parameters import Parameters
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.states import GenerationStatus

OnConflict = Literal["reject", "interrupt", "enqueue"]
"""A message whose chat is generating is refused, or stops the generation, or waits behind it."""
OnVersionConflict = Literal["reject", "interrupt"]
"""The same for another version of a message. It has nothing to wait for: what is generated would be replaced."""


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A message that a user sends to a chat.

    Without a `model`, the default model answers. `time_zone` is the user's for this message; None for the account's. `key` is
    the client's own for this message; None where the client has none. `client_id` is the client's name for the message, unique
    in the chat; None where the client gives it none. `parameters` is what is asked of the model; None for nothing. `response` is
    what a response tells of its request again (`Generation.response`). `sent` is what a request with a key is compared by, where
    that is not what the message says: what it stands for may be another, or gone, when it is repeated. `takes` are the numbers
    of the items (tables.ConversationItem) that are part of the message from now on, and wait no more. `follows` is the position
    of the last message of the path that was looked at, 0 for none: the message is refused where the path ends elsewhere; None
    where that does not matter. No message that interrupts has `takes` or `follows`.
    """

    is_hidden: ClassVar[bool] = False

    user_id: UserId
    chat_id: ChatId
    content: str
    on_conflict: OnConflict = "reject"
    model: str | None = None
    time_zone: str | None = None
    key: str | None = None
    client_id: str | None = None
    parameters: Parameters | None = None
    response: dict[str, Any] | None = None
    sent: dict[str, Any] | None = None
    takes: tuple[int, ...] = ()
    follows: int | None = None

    @property
    def first_status(self) -> GenerationStatus:
        """The status with which the generation begins."""
        return GenerationStatus.WAITING if self.on_conflict == "enqueue" else GenerationStatus.QUEUED


@dataclass(frozen=True, slots=True)
class Regeneration:
    """Another reply to a message of the user's. `message_id` is the message or a reply to it; the rest is as in NewTurn."""

    first_status: ClassVar[GenerationStatus] = GenerationStatus.QUEUED
    is_hidden: ClassVar[bool] = False
    response: ClassVar[None] = None
    sent: ClassVar[None] = None

    user_id: UserId
    chat_id: ChatId
    message_id: MessageId
    on_conflict: OnVersionConflict = "reject"
    model: str | None = None
    time_zone: str | None = None
    key: str | None = None
    parameters: Parameters | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """Another text instead of a message of the user's, with a reply of its own. The rest is as in NewTurn.

    The new message takes over the `client_id` from the message that it replaces.
    """

    first_status: ClassVar[GenerationStatus] = GenerationStatus.QUEUED
    is_hidden: ClassVar[bool] = False
    response: ClassVar[None] = None
    sent: ClassVar[None] = None

    user_id: UserId
    chat_id: ChatId
    message_id: MessageId
    content: str
    on_conflict: OnVersionConflict = "reject"
    model: str | None = None
    time_zone: str | None = None
    key: str | None = None
    client_id: str | None = None
    parameters: Parameters | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """A message that follows a reply, whatever followed that reply before. `message_id` is the reply's.

    The rest is as in NewTurn.
    """

    first_status: ClassVar[GenerationStatus] = GenerationStatus.QUEUED
    is_hidden: ClassVar[bool] = False
    on_conflict: ClassVar[OnVersionConflict] = "reject"
    time_zone: ClassVar[None] = None
    client_id: ClassVar[None] = None

    user_id: UserId
    chat_id: ChatId
    message_id: MessageId
    content: str
    model: str | None = None
    key: str | None = None
    parameters: Parameters | None = None
    response: dict[str, Any] | None = None
    sent: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """A message that begins a chat, which is made with it. The rest is as in NewTurn."""

    on_conflict: ClassVar[OnConflict] = "reject"
    time_zone: ClassVar[None] = None

    user_id: UserId
    content: str
    model: str | None = None
    key: str | None = None
    parameters: Parameters | None = None
    response: dict[str, Any] | None = None
    sent: dict[str, Any] | None = None

    def into(self, chat_id: ChatId) -> NewTurn:
        """The message, for a chat that was made a moment ago, in the same transaction."""
        return NewTurn(
            self.user_id,
            chat_id,
            self.content,
            model=self.model,
            key=self.key,
            parameters=self.parameters,
            response=self.response,
            sent=self.sent,
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """A request that brings its whole context along, in its `parameters`. A hidden chat of its own has it, with an empty message.

    `kind` is the door's word for such requests: a key that was used for one kind is used for another. The rest is as in NewTurn.
    """

    first_status: ClassVar[GenerationStatus] = GenerationStatus.QUEUED
    on_conflict: ClassVar[OnVersionConflict] = "reject"
    time_zone: ClassVar[None] = None

    user_id: UserId
    kind: str
    parameters: Parameters
    model: str | None = None
    key: str | None = None
    response: dict[str, Any] | None = None
    sent: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class OpenedCompletion:
    """A completion whose hidden chat was made a moment ago, in the same transaction."""

    first_status: ClassVar[GenerationStatus] = GenerationStatus.QUEUED
    on_conflict: ClassVar[OnVersionConflict] = "reject"
    is_hidden: ClassVar[bool] = True
    time_zone: ClassVar[None] = None
    content: ClassVar[str] = ""
    client_id: ClassVar[None] = None

    user_id: UserId
    chat_id: ChatId
    parameters: Parameters
    model: str | None = None
    response: dict[str, Any] | None = None


AnyTurn = NewTurn | Regeneration | Edit | Branch | OpenedCompletion


class Key(NamedTuple):
    """A client's key for one message, and the hash of what the client sent with it."""

    key: str
    body_hash: str


class Turn(NamedTuple):
    """An accepted message, its empty reply, and its generation. `position`, `created_at` and `content` are the message's.

    `is_repeated` says that the message was accepted before, and was found by its key. `first_title` is the title that the
    message gave to its chat; None where the chat had one. `awaits_title`: a model may make a better title.
    """

    generation_id: GenerationId
    user_message_id: MessageId
    assistant_message_id: MessageId
    position: int
    created_at: datetime
    status: str
    is_repeated: bool = False
    content: str = ""
    first_title: str | None = None
    awaits_title: bool = False
