"""The parts of a finished message, in the form of the AI SDK's UIMessage.

This is a client's own shape: `messages.parts` and `messages.sources` keep it as it is, so that a client gets back what it has
rendered. Rows of older releases have the same form.
"""

from collections.abc import Iterable
from typing import Any, Final, Literal, NotRequired, TypedDict

from shared.protocol.frames import ApprovalData, CitationsData, ErrorData

UNFINISHED_TOOL: Final = "The answer ended before this tool gave anything."
"""The error of a tool call whose answer ended from outside: stopped, deleted, out of time, or lost with its workers."""


class StepStartPart(TypedDict):
    """One model call begins here."""

    type: Literal["step-start"]


class TextPart(TypedDict):
    """Text of the answer."""

    type: Literal["text"]
    text: str


class ReasoningPart(TypedDict):
    """The model's reasoning, which is no content."""

    type: Literal["reasoning"]
    text: str


class ToolPart(TypedDict):
    """A tool call, with its output or its error once there is one.

    `providerExecuted` is there only for a call that the client makes. It ends the answer, so it has no outcome.
    """

    type: Literal["dynamic-tool"]
    toolName: str
    toolCallId: str
    state: Literal["input-available", "output-available", "output-error"]
    input: dict[str, Any]
    providerExecuted: NotRequired[Literal[False]]
    output: NotRequired[Any]
    errorText: NotRequired[str]


class Source(TypedDict):
    """A page that the answer may rest on, as `messages.sources` keeps it."""

    sourceId: str
    url: str
    title: str


class SourcePart(Source):
    """The same among a message's parts."""

    type: Literal["source-url"]


class CitationsPart(TypedDict):
    """What is wrong with the answer's citations."""

    type: Literal["data-citations"]
    id: Literal["citations"]
    data: CitationsData


class ApprovalPart(TypedDict):
    """A tool call that proposed an operation, and what has become of the operation. `id` is the operation's."""

    type: Literal["data-approval"]
    id: str
    data: ApprovalData


class ErrorPart(TypedDict):
    """Why the answer failed."""

    type: Literal["data-error"]
    id: Literal["error"]
    data: ErrorData


MessagePart = (
    StepStartPart | TextPart | ReasoningPart | ToolPart | SourcePart | CitationsPart | ApprovalPart | ErrorPart
)


def plain_parts(content: str) -> list[MessagePart]:
    """The parts of a message that is plain text."""
    step: MessagePart = {"type": "step-start"}
    text: MessagePart = {"type": "text", "text": content}
    return [step, text] if content else [step]


def ended_parts(parts: Iterable[MessagePart]) -> list[MessagePart]:
    """The parts of a reply whose answer is over: a tool call without an outcome has an error.

    Rows of the release before have such calls; a client would show them as running for ever.
    """
    return [_ended(part) for part in parts]


def is_unfinished(part: ToolPart) -> bool:
    """Whether a tool call of ours has no outcome yet."""
    return part["state"] == "input-available" and part.get("providerExecuted", True)


def _ended(part: MessagePart) -> MessagePart:
    if part["type"] != "dynamic-tool" or not is_unfinished(part):
        return part
    return {**part, "state": "output-error", "errorText": UNFINISHED_TOOL}


def whole_parts(content: str, parts: Iterable[MessagePart] | None, error: ErrorData | None) -> list[MessagePart]:
    """The parts of a reply whose answer is over, as a client has them that has read the stream. `parts` are the saved ones.

    The error is the generation's, and is in no saved part.
    """
    ended = plain_parts(content) if parts is None else ended_parts(parts)
    return [*ended, {"type": "data-error", "id": "error", "data": error}] if error else ended
