"""Bodies of the chat routes."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import StringConstraints, computed_field

from services.api.chats.queries import ChatRow, MessagePage
from services.api.chats.trash_queries import TrashedChat as TrashedRow
from services.api.fields import Body, Flag, NotBlank, OneLine, Storable, View, WireUsage
from services.api.generations.paths import stream_url
from services.api.generations.schemas import Status
from services.api.own_paths import own_path
from shared.chats.renaming import MAX_TITLE_CHARS

Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TITLE_CHARS),
    Storable,
    NotBlank,
    OneLine,
]


class NewChat(Body):
    """A chat to make. Without a title, the chat gets one from its first message.

    A temporary chat reads nothing of what other chats know, tells them nothing, and is deleted a while after its last message.
    """

    title: Title | None = None
    temporary: Flag = False


class ChatChange(Body):
    """A chat's new title."""

    title: Title


class Chat(View):
    """A chat in a list."""

    id: int
    title: str | None
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime
    temporary: bool


class TrashedChat(Chat):
    """A chat in the trash, since `deleted_at`. After `expires_at` it is deleted for good."""

    deleted_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, chat: TrashedRow, kept_for: timedelta) -> Self:
        """The view of a chat that stays in the trash for so long."""
        return cls(**chat._asdict(), expires_at=chat.deleted_at + kept_for)


class FoundInMessage(View):
    """The newest message of a chat that was found, and the part of its text where one of the words stands."""

    id: int
    position: int
    excerpt: str


class FoundChat(View):
    """A chat that was found: by its title where `message` is null, else by that message."""

    id: int
    title: str | None
    created_at: datetime
    last_message_at: datetime
    message: FoundInMessage | None


class ReplyError(View):
    """Why an answer failed. `code` is stable, `message` is for people."""

    code: str
    message: str


class ReplyGeneration(View):
    """The generation of a reply.

    A reply that is `is_final` changes no more. Any other one is what has been saved so far, and may lack its end even when
    `status` says that it is over: the stream at `stream_url` tells it from its beginning, to its end.
    """

    id: UUID
    status: Status
    is_final: bool
    finish_reason: str | None
    error: ReplyError | None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def stream_url(self) -> str:
        """The path of its frames, now and later."""
        return stream_url(self.id)


class Message(View):
    """A message. A reply is `pending` until its generation is over.

    `parts` are the parts of the AI SDK's UIMessage (reasoning, tool calls, sources, an error). Null when `content` is all.
    `generation` is null for a user's message. `versions` are the ids of all messages that stand at this place of the chat,
    behind the message `parent_id`: the oldest first, this one among them. All but one are `replaced`, or all are, where the
    place itself lies on a replaced path.
    """

    id: int
    role: Literal["user", "assistant"]
    content: str
    position: int
    status: Literal["pending", "completed", "failed", "cancelled"]
    parts: list[dict[str, Any]] | None
    sources: list[dict[str, Any]] | None
    usage: WireUsage
    created_at: datetime
    generation: ReplyGeneration | None
    replaced: bool
    parent_id: int | None
    versions: list[int]


class ChatWithMessages(Chat):
    """A chat with its newest messages, in the order of their positions.

    `older_url` is the path of the messages before them; null where there are none.
    """

    messages: list[Message]
    older_url: str | None

    @classmethod
    def of(cls, chat: ChatRow, page: MessagePage, *, with_replaced: bool) -> Self:
        """The view of a chat and of its newest messages."""
        told, older = [Message.model_validate(message) for message in page.messages], None
        if page.goes_on:
            replaced = "&include=replaced" if with_replaced else ""
            older = own_path(f"/api/chats/{chat.id}/messages?before={told[0].position}{replaced}")
        return cls(**Chat.model_validate(chat).model_dump(), messages=told, older_url=older)
