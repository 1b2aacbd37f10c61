"""Rows become messages in the form of the AI SDK, as a client of it would have rendered their streams."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from services.api.doors.ai_sdk.schemas import UIMessage
from shared.generations.outcome import Outcome
from shared.ids import GenerationId, MessageId
from shared.protocol.frames import usage_metadata
from shared.protocol.message_parts import MessagePart, whole_parts


class MakingOfReply(NamedTuple):
    """The generation of a reply. `is_final`: the reply changes no more. `outcome` says nothing before."""

    id: GenerationId
    is_final: bool
    outcome: Outcome


class ViewedMessage(NamedTuple):
    """A message. `making` is None for a user's message."""

    id: MessageId
    client_id: str | None
    role: str
    content: str
    parts: list[dict[str, Any]] | None
    created_at: datetime
    making: MakingOfReply | None


def to_ui_messages(rows: Sequence[ViewedMessage]) -> list[UIMessage]:
    """Users' messages, and replies that are final."""
    return [_reply(row, row.making) if row.making else _question(row) for row in rows]


def _question(row: ViewedMessage) -> UIMessage:
    return UIMessage(
        id=row.client_id or str(row.id),
        role="user",
        metadata={"createdAt": row.created_at.isoformat()},
        parts=[{"type": "text", "text": row.content}],
    )


def _reply(row: ViewedMessage, making: MakingOfReply) -> UIMessage:
    """A reply. It has a part, whatever became of it: later versions of the SDK refuse a message without any."""
    outcome = making.outcome
    metadata = {"createdAt": row.created_at.isoformat(), "generationId": str(making.id), "status": outcome.status.value}
    usage = {"usage": usage_metadata(outcome.usage)} if outcome.usage else {}
    saved = cast("list[MessagePart] | None", row.parts)
    parts = whole_parts(row.content, saved, outcome.error)
    return UIMessage(
        id=str(row.id), role="assistant", metadata={**metadata, **usage}, parts=[_rendered(part) for part in parts]
    )


def _rendered(part: MessagePart) -> dict[str, Any]:
    """The part as a client has it when its stream is over."""
    match part["type"]:
        case "text" | "reasoning":
            return {**part, "state": "done"}
        case "dynamic-tool":
            return {**part, "providerExecuted": True}
        case _:
            return {**part}
