"""The port to language models: what the worker asks of a model, and what it gets back, whoever provides the model.

A provider is one folder beside this file that has a `ChatModel`, and one line in services/worker/app.py that makes it.
`retry.py` wraps any provider with tries and a fallback; `capabilities.py` says what each model can do.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from shared.generations.parameters import NamedTool, Parameters, ToolChoice
from shared.protocol.frames import FinishReason
from shared.token_usage import TokenUsage

Role = Literal["system", "user", "assistant", "tool"]
NO_PARAMETERS: Final = Parameters()


@dataclass(frozen=True, slots=True)
class ToolDescription:
    """A tool as the model reads about it. `parameters` is the JSON schema of the arguments, an object.

    `strict`: the arguments have to fit the schema; None for the model's default.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that the model asks for. `arguments` is None when the model sent no JSON object."""

    id: str
    name: str
    arguments: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ModelMessage:
    """One message of a conversation.

    `calls` are the tools that an assistant's message asked for. `call_id` names the call that a tool's message answers.
    """

    role: Role
    content: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request to a model.

    `model` is the model's name at its provider. When the last message is the assistant's, the model continues it.
    The model may call any of the `tools`. `max_tokens` bounds the answer; None means the provider's own bound.
    `is_brief`: nobody reads the answer while it comes. The model thinks as little as it can, and all of the text may come at
    the end. `may_be_empty`: an answer that says nothing is no failure. `tool_choice` says whether, or which, tool is called; None
    leaves that to the model. Of the `parameters`, the provider passes on how the model samples, stops, reasons and formats.
    """

    model: str
    conversation: Sequence[ModelMessage]
    tools: Sequence[ToolDescription] = ()
    max_tokens: int | None = None
    is_brief: bool = False
    may_be_empty: bool = False
    tool_choice: ToolChoice | NamedTool | None = None
    parameters: Parameters = NO_PARAMETERS

    @property
    def continues_text(self) -> bool:
        """Whether the model is to continue a text of the assistant's."""
        last = self.conversation[-1]
        return last.role == "assistant" and not last.calls

    @property
    def has_tool_messages(self) -> bool:
        """Whether the conversation has results of tools, in messages of their own."""
        return any(message.role == "tool" for message in self.conversation)


@dataclass(frozen=True, slots=True)
class ModelChunk:
    """What one chunk adds to the answer. The last chunks bring the finish reason, the usage and the tool calls.

    `text` never has reasoning or control tokens.
    """

    text: str = ""
    reasoning: str = ""
    finish_reason: FinishReason | None = None
    usage: TokenUsage | None = None
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class RetryNotice:
    """The model did not answer. After `wait` seconds, `model` is asked.

    `took_tokens`: the call that gave no answer was paid for all the same.
    """

    model: str
    wait: float
    took_tokens: bool = False


class ChatModel(Protocol):
    """Streams answers. Any number of streams may run at the same time on one event loop."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk | RetryNotice, None]:
        """The answer, chunk by chunk. Closing the generator ends the request at once.

        A provider makes one request and yields only ModelChunks. The retry wrapper yields RetryNotices too.

        Raises:
            ModelError: one of its kinds.

        """
        ...
