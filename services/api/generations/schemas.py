"""Bodies of the generation routes."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, StringConstraints, computed_field

from services.api.fields import Body, Text, View, WireUsage


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


class NewMessage(Body):
    """What the user says. Its greatest length is a setting (MESSAGE_MAX_CHARS).

    `on_conflict` says what becomes of it while the chat is generating: it is refused, it stops that, or it waits its turn.
    `model` is one of those that are offered (GROQ_MODEL, GROQ_MODELS); without it the first one answers.
    """

    content: Annotated[Text, AfterValidator(_not_blank)]
    on_conflict: Literal["reject", "interrupt", "enqueue"] = "reject"
    model: Annotated[str, StringConstraints(max_length=200)] | None = None


Status = Literal["waiting", "queued", "running", "completed", "failed", "cancelled"]


class GenerationView(View):
    """A generation: where it stands, what it took. Times are null until reached, and so is its terminal frame's sequence."""

    id: UUID
    chat_id: int
    user_message_id: int
    assistant_message_id: int
    status: Status
    attempt: int
    model: str | None
    usage: WireUsage
    finish_reason: str | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    first_token_at: datetime | None
    finished_at: datetime | None
    final_sequence: int | None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def stream_url(self) -> str:
        """Where its frames can be read, now and later."""
        return stream_url(self.id)


class AcceptedMessage(View):
    """The user's message as it was saved."""

    id: int
    role: Literal["user"] = "user"
    content: str
    position: int
    status: Literal["completed"] = "completed"
    created_at: datetime


class AcceptedGeneration(View):
    """The generation that will answer it."""

    id: UUID
    assistant_message_id: int
    status: Status


class Accepted(View):
    """An accepted message and where its answer will be."""

    message: AcceptedMessage
    generation: AcceptedGeneration
    stream_url: str


class Receipt(View):
    """What is final of a generation that is over: its message has exactly the text of the frames up to `sequence`.

    That is null when Redis lost the stream, or can't be reached; the message is final all the same.
    """

    id: UUID
    chat_id: int
    message_id: int
    status: Status
    sequence: int | None
    last_event_id: str | None


class Stopped(View):
    """What was stopped in a chat; nothing, when it was not generating."""

    stopped: list[Receipt]


def stream_url(generation_id: UUID) -> str:
    """The path of a generation's permanent stream."""
    return f"/api/generations/{generation_id}/stream"
