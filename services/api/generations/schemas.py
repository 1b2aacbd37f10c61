"""Bodies of the generation routes."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import computed_field

from services.api.fields import View, WireUsage
from services.api.generations.paths import stream_url

Status = Literal["waiting", "queued", "running", "awaiting_approval", "completed", "failed", "cancelled"]


class GenerationView(View):
    """A generation: its status, and what it took.

    Times are null until they are reached. `final_sequence` is the terminal frame's, null until the log is closed.
    """

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
        """The path of its frames, now and later."""
        return stream_url(self.id)


class Receipt(View):
    """What is final of a generation that is over: its message has exactly the text of the frames up to `sequence`.

    `sequence` is null when Redis lost the stream, or can't be reached. The message is final all the same.
    """

    id: UUID
    chat_id: int
    message_id: int
    status: Status
    sequence: int | None
    last_event_id: str | None


class Stopped(View):
    """The receipts of what was stopped in a chat; none when the chat was not generating."""

    stopped: list[Receipt]
