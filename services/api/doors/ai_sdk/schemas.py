"""The bodies of the AI SDK door. Source: docs/protocol.md, the AI SDK's door."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from services.api.fields import Flag, Storable, Text, TimeZone
from services.api.turns.turn import OnConflict

MAX_ID_CHARS: Final = 200


def _without_controls(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must have no control characters")
    return text


ClientId = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_ID_CHARS), Storable, AfterValidator(_without_controls)
]
"""A client's own name for a message: any printable text of up to 200 characters."""


def _without_slash(text: str) -> str:
    if "/" in text:
        raise ValueError("must have no /")
    return text


ChatName = Annotated[ClientId, AfterValidator(_without_slash)]
"""The same for a chat. A `/` would end the name in the path of a route: `a/stream` would be the stream of `a`."""


class Part(BaseModel):
    """A part of a message. Other kinds of parts have other members, which are not read."""

    model_config = ConfigDict(frozen=True)

    type: Text
    text: Text | None = None
    state: Text | None = None
    approval: Any = None


class Approval(BaseModel):
    """A user's answer to a request for approval. `id` is that of the request. A reason is not kept."""

    model_config = ConfigDict(frozen=True)

    id: str
    approved: Flag


class LastMessage(BaseModel):
    """The last message of a chat as its client has it."""

    model_config = ConfigDict(frozen=True)

    id: ClientId
    role: Literal["user", "assistant", "system"]
    parts: list[Part] = Field(max_length=1_000)


class ChatRequest(BaseModel):
    """What useChat sends. Members that are not listed here are ignored, since apps add members of their own.

    Of `messages` only the last one is read: history is the server's. `messageId` is the message that is edited or answered
    anew. `model`, `time_zone` and `on_conflict` are as in the native door, but what is generated is interrupted by default:
    the SDK's own `stop()` only disconnects, so a client that sends a message believes that nothing is generated any more.
    """

    model_config = ConfigDict(frozen=True)

    id: ChatName
    messages: list[LastMessage] = Field(min_length=1)
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    messageId: ClientId | None = None  # noqa: N815 - the SDK's spelling
    on_conflict: OnConflict = "interrupt"
    model: Annotated[str, StringConstraints(max_length=200), Storable] | None = None
    time_zone: TimeZone | None = None


KNOWN: Final = frozenset(ChatRequest.model_fields)


class UIMessage(BaseModel):
    """A message in the form of the AI SDK.

    `metadata` has `createdAt`; that of a reply also has `generationId`, `status` (completed, failed, cancelled), and `usage`
    where it is known.
    """

    id: str
    role: Literal["user", "assistant"]
    metadata: dict[str, Any]
    parts: list[dict[str, Any]]
