"""The parts of a finished message, in the form of the AI SDK's UIMessage.

This is a client's own shape: `messages.parts` and `messages.sources` keep it as it is, so that a client gets back what it has
rendered. Rows of older releases have the same form.
"""

from typing import Any, Literal, NotRequired, TypedDict

from shared.protocol.frames import CitationsData


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
    """A tool call, with its output or its error once there is one."""

    type: Literal["dynamic-tool"]
    toolName: str
    toolCallId: str
    state: Literal["input-available", "output-available", "output-error"]
    input: dict[str, Any]
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


MessagePart = StepStartPart | TextPart | ReasoningPart | ToolPart | SourcePart | CitationsPart
