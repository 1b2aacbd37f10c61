"""Rows become messages in the form of the AI SDK, as a client of it would have rendered their streams."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from services.api.doors.ai_sdk.operation_queries import CallOperation
from services.api.doors.ai_sdk.schemas import UIMessage
from shared.generations.outcome import Outcome
from shared.ids import GenerationId, MessageId
from shared.protocol.frames import usage_metadata
from shared.protocol.message_parts import MessagePart, plain_parts, whole_parts


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


def to_ui_messages(
    rows: Sequence[ViewedMessage], awaited: Sequence[CallOperation] = (), *, knows_approvals: bool = False
) -> list[UIMessage]:
    """Users' messages, and replies: final ones, and the newest one while it waits for the `awaited` operations.

    A client that knows approvals is shown for each call what its user was asked, or has refused.
    """
    return [_reply(row, row.making, awaited, knows=knows_approvals) if row.making else _question(row) for row in rows]


def _question(row: ViewedMessage) -> UIMessage:
    return UIMessage(
        id=row.client_id or str(row.id),
        role="user",
        metadata={"createdAt": row.created_at.isoformat()},
        parts=[{"type": "text", "text": row.content}],
    )


def _reply(row: ViewedMessage, making: MakingOfReply, awaited: Sequence[CallOperation], *, knows: bool) -> UIMessage:
    """A reply. It has a part, whatever became of it: later versions of the SDK refuse a message without any."""
    outcome = making.outcome
    metadata: dict[str, Any] = {"createdAt": row.created_at.isoformat(), "generationId": str(making.id)}
    saved = cast("list[MessagePart] | None", row.parts)
    asked: dict[str, dict[str, Any]] = {}
    if making.is_final:
        metadata["status"] = outcome.status.value
        parts = whole_parts(row.content, saved, outcome.error)
    else:
        parts = plain_parts(row.content) if saved is None else saved
        asked = {operation.call_id: _asked(operation) for operation in awaited if operation.generation_id == making.id}
    if outcome.usage:
        metadata["usage"] = usage_metadata(outcome.usage)
    refused = _refused_calls(parts) if knows else {}
    shown = [_rendered(part, asked, refused) for part in parts]
    return UIMessage(id=str(row.id), role="assistant", metadata=metadata, parts=shown)


def _asked(operation: CallOperation) -> dict[str, Any]:
    """How a call is shown that has proposed an operation, while the answer waits for this one or another."""
    if operation.awaits_person:
        return {"state": "approval-requested", "approval": {"id": str(operation.id)}}
    approved = operation.status not in {"proposed", "refused", "expired"}
    return {"state": "approval-responded", "approval": {"id": str(operation.id), "approved": approved}}


def _refused_calls(parts: Sequence[MessagePart]) -> dict[str, dict[str, Any]]:
    """How calls are shown that nobody made, since the user has refused what they proposed."""
    return {
        part["data"]["toolCallId"]: {"state": "output-denied", "approval": {"id": part["id"], "approved": False}}
        for part in parts
        if part["type"] == "data-approval" and part["data"]["status"] == "refused"
    }


def _rendered(
    part: MessagePart, asked: Mapping[str, dict[str, Any]], refused: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """The part as a client has it when its stream is over.

    `asked` is what else is so of a call without an outcome that asked the user, `refused` of one that the user has refused.
    """
    match part["type"]:
        case "text" | "reasoning":
            return {**part, "state": "done"}
        # As in the stream (approval_stream.py).
        case "dynamic-tool" if part["state"] == "input-available" and part["toolCallId"] in asked:
            return {**part, "providerExecuted": False, **asked[part["toolCallId"]]}
        case "dynamic-tool" if part["state"] == "output-error" and part["toolCallId"] in refused:
            shown = {name: value for name, value in part.items() if name != "errorText"}
            return {**shown, "providerExecuted": False, **refused[part["toolCallId"]]}
        case "dynamic-tool":
            return {**part, "providerExecuted": True}
        case _:
            return {**part}
