"""The output items of a response: how they are told when they begin, and when they are over. Pure."""

from dataclasses import dataclass, field
from typing import Any, Final

from services.api.doors.openai.responses.json_texts import json_text
from shared.protocol.frames import ToolError, ToolInput, ToolOutput

Json = dict[str, Any]

SERVER_LABEL: Final = "cortexai"
"""The name of this service's tools other than the web search, as of a server of the Model Context Protocol."""
WEB_SEARCH: Final = "web_search"


@dataclass(slots=True)
class Item:
    """An output item that is open."""

    index: int
    id: str

    def at(self, **more: Any) -> Json:  # noqa: ANN401 - any JSON
        """What an event about the item begins with."""
        return {"item_id": self.id, "output_index": self.index, **more}


@dataclass(slots=True)
class Text(Item):
    """A message or reasoning whose text is coming. So many characters of it are `told`."""

    pieces: list[str] = field(default_factory=list)
    waiting: str = ""
    told: int = 0

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.pieces)


@dataclass(slots=True)
class Call(Item):
    """A tool call of the newest step, and what has become of it. `approval` is the operation that it proposed."""

    frame: ToolInput
    outcome: ToolOutput | ToolError | None = None
    urls: list[str] = field(default_factory=list)
    approval: str | None = None
    is_decided: bool = False

    @property
    def is_by_client(self) -> bool:
        """Whether the client makes the call."""
        return not self.frame["providerExecuted"]


def approval_id(operation_id: str) -> str:
    """The id of the request that a person decides about an operation."""
    return f"mcpr_{operation_id.replace('-', '')}"


def prefix_of(frame: ToolInput) -> str:
    """What the id of a call's item begins with."""
    if not frame["providerExecuted"]:
        return "fc"
    return "ws" if frame["toolName"] == WEB_SEARCH else "mcp"


def text_part(text: str) -> Json:
    """The part of a message that has its text. Citations come later."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def arguments_of(frame: ToolInput) -> str:
    """What a tool is called with, as JSON."""
    return json_text(frame["input"])


def call_item(call: Call, status: str) -> Json:
    """The item of a tool call."""
    frame = call.frame
    if call.is_by_client:
        arguments = arguments_of(frame) if status == "completed" else ""
        return {
            "type": "function_call",
            "id": call.id,
            "call_id": frame["toolCallId"],
            "name": frame["toolName"],
            "arguments": arguments,
            "status": status,
        }
    if frame["toolName"] == WEB_SEARCH:
        query = frame["input"].get("query")
        action: Json = {"type": "search", "query": query if isinstance(query, str) else ""}
        if status != "in_progress":
            action["sources"] = [{"type": "url", "url": url} for url in call.urls]
        return {"type": "web_search_call", "id": call.id, "status": status, "action": action}
    return {
        "type": "mcp_call",
        "id": call.id,
        "server_label": SERVER_LABEL,
        "name": frame["toolName"],
        "arguments": arguments_of(frame) if status != "in_progress" else "",
        "status": status,
        "approval_request_id": approval_id(call.approval) if call.approval else None,
        "output": _output_of(call.outcome),
        "error": _error_of(call.outcome) if status == "failed" else None,
    }


def _output_of(outcome: ToolOutput | ToolError | None) -> str | None:
    if outcome is None or outcome["type"] == "tool-output-error":
        return None
    output = outcome["output"]
    return output if isinstance(output, str) else json_text(output)


def _error_of(outcome: ToolOutput | ToolError | None) -> Json:
    text = outcome["errorText"] if outcome is not None and outcome["type"] == "tool-output-error" else ""
    return {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": text}]}
