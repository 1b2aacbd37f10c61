"""Bodies of the native door's routes."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import StringConstraints

from services.api.fields import Body, NotBlank, Storable, Text, TimeZone, View
from services.api.generations.schemas import Status
from services.api.turns.turn import OnConflict, OnVersionConflict


class NewMessage(Body):
    """A user's message. Its greatest length is a setting (MESSAGE_MAX_CHARS).

    `on_conflict` says what happens while the chat is generating: the message is refused; it stops what is generated; or
    it waits behind that. `model` is one of the offered models (GROQ_MODEL, GROQ_MODELS), the first one by default.
    `time_zone` is an IANA name, such as Europe/Berlin: where the user is; by default, the account's.
    """

    content: Annotated[Text, NotBlank]
    on_conflict: OnConflict = "reject"
    model: Annotated[str, StringConstraints(max_length=200), Storable] | None = None
    time_zone: TimeZone | None = None


class NewVersion(Body):
    """How a message is to be answered anew. The rest is as in NewMessage; another version can't wait for an answer."""

    on_conflict: OnVersionConflict = "reject"
    model: Annotated[str, StringConstraints(max_length=200), Storable] | None = None
    time_zone: TimeZone | None = None


class EditedMessage(NewVersion):
    """What a message of the user's is to say instead."""

    content: Annotated[Text, NotBlank]


class AcceptedMessage(View):
    """The user's message as it was saved."""

    id: int
    role: Literal["user"] = "user"
    content: str
    position: int
    status: Literal["completed"] = "completed"
    created_at: datetime


class AcceptedGeneration(View):
    """The generation that answers the message."""

    id: UUID
    assistant_message_id: int
    status: Status


class Accepted(View):
    """An accepted message, and the path of its answer."""

    message: AcceptedMessage
    generation: AcceptedGeneration
    stream_url: str
