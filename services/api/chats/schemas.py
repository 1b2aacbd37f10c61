"""Bodies of the chat routes."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import StringConstraints

from services.api.fields import Body, Storable, View, WireUsage

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), Storable]


class NewChat(Body):
    """A chat to make. Without a title it gets one from its first message."""

    title: Title | None = None


class ChatChange(Body):
    """What to change of a chat."""

    title: Title


class Chat(View):
    """A chat in a list."""

    id: int
    title: str | None
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime


class Message(View):
    """A message. A reply that is still being generated is `pending`.

    `parts` are its parts as the AI SDK's UIMessage has them: reasoning, tool calls, sources; null when `content` says it all.
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


class ChatWithMessages(Chat):
    """A chat with all of its messages, in the order of their positions."""

    messages: list[Message]
