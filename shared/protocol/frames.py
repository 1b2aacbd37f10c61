"""The stream's frames, typed: the AI SDK's UI Message Stream v1. The keys are the wire's own spelling.

A log's frames have a strict order: no delta or end without its start, and a text part is ended before the terminal frame.
Strict versions of the AI SDK refuse keys that a frame's type does not define, so what is our own goes into `data-*` parts and
into metadata. tests/clients has every frame checked by the oldest and the newest versions. Source: docs/protocol.md §2.
"""

from typing import Any, Literal, NotRequired, TypedDict

from shared.ids import ChatId, GenerationId, MessageId
from shared.protocol.sizes import cut_text, shortened
from shared.token_usage import TokenUsage

FinishReason = Literal["stop", "length", "content-filter", "tool-calls", "error", "other"]


class StartMetadata(TypedDict):
    """What the `start` frame says of its message: where it belongs, and which message it answers."""

    generationId: str
    userMessageId: str
    chatId: str


class Start(TypedDict):
    """Opens the log of a generation."""

    type: Literal["start"]
    messageId: str
    messageMetadata: StartMetadata


class StartStep(TypedDict):
    """Opens one model call."""

    type: Literal["start-step"]


class FinishStep(TypedDict):
    """Ends one model call."""

    type: Literal["finish-step"]


class TextStart(TypedDict):
    """Opens a text part."""

    type: Literal["text-start"]
    id: str


class TextDelta(TypedDict):
    """More of a text part."""

    type: Literal["text-delta"]
    id: str
    delta: str


class TextEnd(TypedDict):
    """Ends a text part."""

    type: Literal["text-end"]
    id: str


class ReasoningStart(TypedDict):
    """Opens a part of the model's reasoning."""

    type: Literal["reasoning-start"]
    id: str


class ReasoningDelta(TypedDict):
    """More of a reasoning part."""

    type: Literal["reasoning-delta"]
    id: str
    delta: str


class ReasoningEnd(TypedDict):
    """Ends a reasoning part."""

    type: Literal["reasoning-end"]
    id: str


class ToolInput(TypedDict):
    """A tool is called, with this input. A call that is not `providerExecuted` is the client's to make, and ends the answer."""

    type: Literal["tool-input-available"]
    toolCallId: str
    toolName: str
    input: dict[str, Any]
    providerExecuted: Literal[True, False]
    dynamic: Literal[True]


class ToolOutput(TypedDict):
    """What a called tool gave."""

    type: Literal["tool-output-available"]
    toolCallId: str
    output: Any
    providerExecuted: Literal[True]
    dynamic: Literal[True]


class ToolError(TypedDict):
    """Why a called tool gave nothing."""

    type: Literal["tool-output-error"]
    toolCallId: str
    errorText: str
    providerExecuted: Literal[True]
    dynamic: Literal[True]


class SourceUrl(TypedDict):
    """A page that the answer may rest on."""

    type: Literal["source-url"]
    sourceId: str
    url: str
    title: str


class StatusData(TypedDict):
    """What the `data-status` frame tells. Which of the optional keys are there depends on the status (docs/protocol.md §2)."""

    status: str
    position: NotRequired[int]
    model: NotRequired[str]
    seconds: NotRequired[float]
    messages: NotRequired[int]


class DataStatus(TypedDict):
    """What is being done now. A client keeps no transient frame in its message."""

    type: Literal["data-status"]
    data: StatusData
    transient: Literal[True]


class RetryData(TypedDict):
    """The attempt that goes on, from 1."""

    attempt: int


class DataRetry(TypedDict):
    """The answer broke off, and the model did not go on with its text. A new paragraph begins."""

    type: Literal["data-retry"]
    data: RetryData
    transient: Literal[True]


class TitleData(TypedDict):
    """A chat's title."""

    title: str


class DataTitle(TypedDict):
    """The chat has a new title."""

    type: Literal["data-title"]
    data: TitleData
    transient: Literal[True]


class CitationsData(TypedDict):
    """The numbers that the answer cites and that none of its sources has."""

    withoutSource: list[int]


class DataCitations(TypedDict):
    """What is wrong with the answer's citations. A client keeps it; a later frame of the same id takes its place."""

    type: Literal["data-citations"]
    id: Literal["citations"]
    data: CitationsData


ApprovalStatus = Literal["proposed", "committed", "refused", "stale", "expired", "failed"]
"""What has become of an operation that a tool call proposed. The answer goes on with each but `proposed`."""


class ApprovalData(TypedDict):
    """The tool call that proposed an operation, and what has become of it."""

    toolCallId: str
    status: ApprovalStatus


class DataApproval(TypedDict):
    """A tool call waits for a person's decision, or the decision is there. `id` is the operation's.

    A client keeps it; a later frame of the same id takes its place.
    """

    type: Literal["data-approval"]
    id: str
    data: ApprovalData


class UsageMetadata(TypedDict):
    """Token counts as the AI SDK spells them. `isEstimate` is there only where the model did not count all of them."""

    promptTokens: int
    completionTokens: int
    totalTokens: int
    isEstimate: NotRequired[Literal[True]]


class FinishMetadata(TypedDict):
    """What the `finish` frame says of its message."""

    usage: UsageMetadata


class Finish(TypedDict):
    """Terminal: the answer is complete."""

    type: Literal["finish"]
    finishReason: FinishReason
    messageMetadata: NotRequired[FinishMetadata]


class ErrorData(TypedDict):
    """Why an answer failed. `code` is stable (docs/protocol.md, error codes)."""

    code: str
    message: str


class DataError(TypedDict):
    """Comes before an `error` frame, which has no room for a code. A client keeps it."""

    type: Literal["data-error"]
    id: Literal["error"]
    data: ErrorData


class Error(TypedDict):
    """Terminal: the answer failed."""

    type: Literal["error"]
    errorText: str


class AbortMetadata(TypedDict):
    """What is said of a message whose answer ended with `abort`: a request stopped it, or deleted its chat or account."""

    status: Literal["cancelled", "deleted"]


class MessageMetadata(TypedDict):
    """Comes before an `abort` frame, which has no room for a reason. A client adds it to the metadata of its message."""

    type: Literal["message-metadata"]
    messageMetadata: AbortMetadata


class Abort(TypedDict):
    """Terminal: the answer was stopped on request."""

    type: Literal["abort"]


Terminal = Finish | Error | Abort
Frame = (
    Start
    | StartStep
    | FinishStep
    | TextStart
    | TextDelta
    | TextEnd
    | ReasoningStart
    | ReasoningDelta
    | ReasoningEnd
    | ToolInput
    | ToolOutput
    | ToolError
    | SourceUrl
    | DataStatus
    | DataRetry
    | DataTitle
    | DataCitations
    | DataApproval
    | DataError
    | MessageMetadata
    | Terminal
)
"""Any frame of a log."""


def join(before: Frame, frame: Frame) -> bool:
    """Add a delta to the delta before, if both are of the same part. Returns whether that was done."""
    if before["type"] == "text-delta" and frame["type"] == "text-delta" and before["id"] == frame["id"]:
        before["delta"] += frame["delta"]
        return True
    if before["type"] == "reasoning-delta" and frame["type"] == "reasoning-delta" and before["id"] == frame["id"]:
        before["delta"] += frame["delta"]
        return True
    return False


def start(message_id: MessageId, generation_id: GenerationId, *, user_message_id: MessageId, chat_id: ChatId) -> Start:
    """The first frame of an attempt. A second one with the same message id continues the same message."""
    metadata: StartMetadata = {
        "generationId": str(generation_id),
        "userMessageId": str(user_message_id),
        "chatId": str(chat_id),
    }
    return {"type": "start", "messageId": str(message_id), "messageMetadata": metadata}


def start_step() -> StartStep:
    """Opens one model call."""
    return {"type": "start-step"}


def finish_step() -> FinishStep:
    """Ends one model call."""
    return {"type": "finish-step"}


def text_start(text_id: str) -> TextStart:
    """Opens a text part. Its id is unique within the message."""
    return {"type": "text-start", "id": text_id}


def text_delta(text_id: str, delta: str) -> TextDelta:
    """More of a text part."""
    return {"type": "text-delta", "id": text_id, "delta": delta}


def text_end(text_id: str) -> TextEnd:
    """Ends a text part."""
    return {"type": "text-end", "id": text_id}


def reasoning_start(reasoning_id: str) -> ReasoningStart:
    """Opens a part of the model's reasoning, which is no content."""
    return {"type": "reasoning-start", "id": reasoning_id}


def reasoning_delta(reasoning_id: str, delta: str) -> ReasoningDelta:
    """More of a reasoning part."""
    return {"type": "reasoning-delta", "id": reasoning_id, "delta": delta}


def reasoning_end(reasoning_id: str) -> ReasoningEnd:
    """Ends a reasoning part."""
    return {"type": "reasoning-end", "id": reasoning_id}


def tool_input(call_id: str, name: str, arguments: dict[str, Any], *, by_client: bool = False) -> ToolInput:
    """A tool is called. The tool runs here, so the client need not know it. A very large input is shortened (sizes.py).

    `by_client`: the tool is the client's, who makes the call. Then the input is whole, however large it is.
    """
    return {
        "type": "tool-input-available",
        "toolCallId": call_id,
        "toolName": name,
        "input": arguments if by_client else shortened(arguments) or {},
        "providerExecuted": not by_client,
        "dynamic": True,
    }


def tool_output(call_id: str, output: Any) -> ToolOutput:  # noqa: ANN401 - whatever JSON the tool gives
    """What a called tool gave, shortened where it is very large (sizes.py)."""
    return {
        "type": "tool-output-available",
        "toolCallId": call_id,
        "output": shortened(output),
        "providerExecuted": True,
        "dynamic": True,
    }


def tool_error(call_id: str, text: str) -> ToolError:
    """Why a called tool gave nothing."""
    return {
        "type": "tool-output-error",
        "toolCallId": call_id,
        "errorText": cut_text(text),
        "providerExecuted": True,
        "dynamic": True,
    }


def source_url(source_id: str, url: str, title: str) -> SourceUrl:
    """A page that the answer may rest on."""
    return {"type": "source-url", "sourceId": source_id, "url": url, "title": cut_text(title)}


def status(data: StatusData) -> DataStatus:
    """What is being done now."""
    return {"type": "data-status", "data": data, "transient": True}


def retry(attempt: int) -> DataRetry:
    """A new paragraph begins, since the model did not go on with the text."""
    return {"type": "data-retry", "data": {"attempt": attempt}, "transient": True}


def title(text: str) -> DataTitle:
    """The chat has a new title."""
    return {"type": "data-title", "data": {"title": text}, "transient": True}


def citations(without_source: list[int]) -> DataCitations:
    """These numbers are cited, and no source has them."""
    return {"type": "data-citations", "id": "citations", "data": {"withoutSource": without_source}}


def approval(operation_id: str, call_id: str, status: ApprovalStatus) -> DataApproval:
    """What has become of the operation that a tool call proposed."""
    return {"type": "data-approval", "id": operation_id, "data": {"toolCallId": call_id, "status": status}}


def usage_metadata(usage: TokenUsage) -> UsageMetadata:
    """Token counts in the wire's spelling."""
    counts: UsageMetadata = {
        "promptTokens": usage.prompt_tokens,
        "completionTokens": usage.completion_tokens,
        "totalTokens": usage.total_tokens,
    }
    return {**counts, "isEstimate": True} if usage.is_estimate else counts


def finish(reason: FinishReason, usage: TokenUsage | None = None) -> Finish:
    """Terminal: the answer is complete."""
    if usage is None:
        return {"type": "finish", "finishReason": reason}
    return {"type": "finish", "finishReason": reason, "messageMetadata": {"usage": usage_metadata(usage)}}


def failed(error: ErrorData) -> list[Frame]:
    """The frames that end the log of an answer that failed."""
    return [
        {"type": "data-error", "id": "error", "data": error},
        {"type": "error", "errorText": error["message"]},
    ]


def aborted(status: Literal["cancelled", "deleted"]) -> list[Frame]:
    """The frames that end the log of an answer that a request stopped, or whose chat or account was deleted."""
    return [{"type": "message-metadata", "messageMetadata": {"status": status}}, {"type": "abort"}]
