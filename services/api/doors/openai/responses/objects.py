"""Responses and conversations as OpenAI's clients read them. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from services.api.doors.openai.error_form import KNOWN_CODES
from services.api.doors.openai.responses.events import output_of
from services.api.doors.openai.responses.ids import conversation_id, input_item_id, response_id
from services.api.doors.openai.responses.output_items import Json
from shared.generations.outcome import Outcome
from shared.ids import ChatId, GenerationId, MessageId
from shared.protocol.catch_up import parts_to_frames
from shared.protocol.message_parts import MessagePart, ended_parts, plain_parts
from shared.states import TERMINAL, GenerationStatus
from shared.token_usage import TokenUsage

DEFAULTS: Final[Mapping[str, Any]] = {
    "previous_response_id": None,
    "instructions": None,
    "tools": [],
    "tool_choice": "auto",
    "truncation": "disabled",
    "parallel_tool_calls": True,
    "text": {"format": {"type": "text"}},
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_logprobs": 0,
    "temperature": None,  # of a message that came through another door
    "reasoning": {"effort": None, "summary": None},
    "max_output_tokens": None,
    "max_tool_calls": None,
    "store": True,
    "background": False,
    "service_tier": "default",
    "metadata": {},
    "safety_identifier": None,
    "prompt_cache_key": None,
    "user": None,
}
"""What a response says of its request where the request did not. `Asked.told` has what it did say."""


APPROVAL_REQUIRED: Final = "approval_required"


class ResponseRow(NamedTuple):
    """A generation as the response that it makes. `question` is the user's message, `content` and `parts` are the reply's.

    `response` is what the request said (`Generation.response`); None for a message that came through another door.
    """

    id: GenerationId
    chat_id: ChatId
    user_message_id: MessageId
    assistant_message_id: MessageId
    status: str
    model: str | None
    usage: dict[str, int] | None
    finish_reason: str | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    finished_at: datetime | None
    response: dict[str, Any] | None
    question: str
    content: str
    parts: list[MessagePart] | None
    is_hidden: bool

    @property
    def outcome(self) -> Outcome:
        """How the generation ended. Only of one that is over."""
        return Outcome.from_row(self.status, self.finish_reason, self.error_code, self.error_message, self.usage)

    @property
    def asked(self) -> Mapping[str, Any]:
        """What the request said."""
        asked: Mapping[str, Any] = (self.response or {}).get("asked", {})
        return asked

    @property
    def input(self) -> list[Json]:
        """The items of the request, with their ids."""
        return input_items(self.user_message_id, self.response, self.question)


class ConversationRow(NamedTuple):
    """A chat as a conversation."""

    id: ChatId
    created_at: datetime
    metadata: dict[str, str] | None


def input_items(message_id: MessageId, response: Mapping[str, Any] | None, text: str) -> list[Json]:
    """The items of a user's message, with their ids. `response` has those of the request; else the text is all of it."""
    given = (response or {}).get("input")
    items: Sequence[Json] = [user_item(text)] if given is None else given
    ids: list[str] = (response or {}).get("added", [])
    ids = [*ids, *(input_item_id(message_id, number) for number in range(len(ids), len(items)))]
    return [{**item, "id": name} for item, name in zip(items, ids, strict=True)]


def user_item(text: str) -> Json:
    """A text of the user's as an item."""
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "status": "completed", "role": "user", "content": content}


def ended_output(reply_id: MessageId, content: str, parts: list[MessagePart] | None, outcome: Outcome) -> list[Json]:
    """The output items of a reply whose answer is over. `parts` is None for plain text."""
    saved = ended_parts(plain_parts(content) if parts is None else parts)
    return output_of(reply_id, [*parts_to_frames(saved), *outcome.frames()])


def saved_output(row: ResponseRow) -> list[Json]:
    """The output items of a response, by its row: all of one that is over, else what was saved when it began to wait."""
    if row.status in TERMINAL:
        return ended_output(row.assistant_message_id, row.content, row.parts, row.outcome)
    if row.status == GenerationStatus.AWAITING_APPROVAL:
        return output_of(row.assistant_message_id, parts_to_frames(row.parts or plain_parts(row.content)))
    return []


def begun(row: ResponseRow) -> Json:
    """A response of which nothing is there yet, as its first events have it."""
    return {
        **DEFAULTS,
        **row.asked,
        "id": response_id(row.id),
        "object": "response",
        "created_at": int(row.created_at.timestamp()),
        "completed_at": None,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": row.asked.get("model") or row.model or "",
        "output": [],
        "usage": None,
        "conversation": None if row.is_hidden else {"id": conversation_id(row.chat_id)},
    }


def present(row: ResponseRow, output: Sequence[Json] | None = None) -> Json:
    """A response as it is now. `output` are its items, where they are known already."""
    response = begun(row)
    response["output"] = list(saved_output(row) if output is None else output)
    response["usage"] = _usage(row.usage)
    if row.status == GenerationStatus.AWAITING_APPROVAL:
        return paused(response, response["output"])
    if row.status not in TERMINAL:
        is_queued = row.status in {GenerationStatus.QUEUED, GenerationStatus.WAITING}
        return {**response, "status": "queued" if is_queued else "in_progress"}
    status, reason = _ended(row)
    return {
        **response,
        "status": status,
        "completed_at": int(row.finished_at.timestamp()) if row.finished_at and status == "completed" else None,
        "model": row.model or response["model"],
        "error": _error(row.outcome),
        "incomplete_details": {"reason": reason} if reason else None,
    }


def paused(response: Json, output: Sequence[Json]) -> Json:
    """A response that waits for a person's decision: nothing more comes before, and then it goes on."""
    return {
        **response,
        "status": "incomplete",
        "incomplete_details": {"reason": APPROVAL_REQUIRED},
        "output": list(output),
    }


def present_conversation(row: ConversationRow) -> Json:
    """A conversation."""
    return {
        "id": conversation_id(row.id),
        "object": "conversation",
        "created_at": int(row.created_at.timestamp()),
        "metadata": row.metadata or {},
    }


def _ended(row: ResponseRow) -> tuple[str, str | None]:
    """The status of a response that is over, and the reason of one that is incomplete."""
    match row.status, row.finish_reason:
        case GenerationStatus.COMPLETED, "length":
            return "incomplete", "max_output_tokens"
        case GenerationStatus.COMPLETED, "content-filter":
            return "incomplete", "content_filter"
        case status, _:
            return str(status), None


def _error(outcome: Outcome) -> Json | None:
    """Why a response failed, with OpenAI's code where OpenAI has one: its clients look at the code, as at those of refusals."""
    error = outcome.error
    return None if error is None else {**error, "code": KNOWN_CODES.get(error["code"], error["code"])}


def _usage(kept: Mapping[str, int] | None) -> Json | None:
    usage = TokenUsage.from_row(kept)
    if usage is None:
        return None
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total_tokens,
    }


def terminal_type(status: str) -> str:
    """The type of the event that ends the stream of a response of this status."""
    return f"response.{status}" if status in {"completed", "failed"} else "response.incomplete"
