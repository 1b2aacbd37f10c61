"""What a request may ask of the model that answers it, beyond what its chat says. A generation's row keeps it as JSON.

A door maps its own names to these, with the types below for their bounds. The worker hands them to the model. An ordinary
message asks for nothing: its row has NULL.
"""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, StringConstraints

MAX_MESSAGES: Final = 2_048
MAX_TEXT_CHARS: Final = 2_000_000
MAX_TOOLS: Final = 128
MAX_CALLS: Final = 128
"""Of one message."""
MAX_STOPS: Final = 4
MAX_NAME_CHARS: Final = 64
MAX_ID_CHARS: Final = 256
MAX_DEPTH: Final = 64
"""How deeply JSON of a client's may nest."""
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**64 - 1
"""Integers of a client's JSON. No more can be sent to a model: its request is written by a library that knows 64 bits."""
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")

Json = dict[str, Any]


def check_storable(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON
    """Refuse what PostgreSQL can't store or a model can't be sent: such texts and numbers, and JSON that nests too deeply."""
    if depth > MAX_DEPTH:
        raise ValueError(f"must not nest more than {MAX_DEPTH} deep")
    match value:
        case str():
            if _UNSTORABLE.search(value):
                raise ValueError("must not contain the NUL character, nor half a surrogate pair")
        case int() if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise ValueError("must not have an integer of more than 64 bits")
        case float() if not math.isfinite(value):  # 1e400 is read as infinity
            raise ValueError("must not have a number as large as this")
        case list():
            for item in value:
                check_storable(item, depth + 1)
        case dict():
            for name, item in value.items():
                check_storable(name, depth + 1)
                check_storable(item, depth + 1)
        case _:
            pass
    return value


Storable = AfterValidator(check_storable)
LongText = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS), Storable]
Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]+$", max_length=MAX_NAME_CHARS)]
"""Of a tool, or of a response format."""
CallId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_CHARS), Storable]
JsonObject = Annotated[Json, Storable]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Temperature = Annotated[Number, Field(ge=0, le=2)]
TopP = Annotated[Number, Field(ge=0, le=1)]
Penalty = Annotated[Number, Field(ge=-2, le=2)]
MaxTokens = Annotated[int, Strict(), Field(ge=1, le=10_000_000)]
Seed = Annotated[int, Strict(), Field(ge=-(2**63), lt=2**63)]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=256), Storable]
Effort = Literal["low", "medium", "high"]
ToolChoice = Literal["none", "auto", "required"]


class _Part(BaseModel):
    """Frozen, and read back from a row of a later release too: what is not known there is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class GivenCall(_Part):
    """A tool call in a message that the request has. `arguments` is the JSON text, as the model wrote it."""

    id: CallId
    name: Name
    arguments: LongText = "{}"


class GivenMessage(_Part):
    """One message of the context that a request brings along.

    `calls` are those of an assistant's message. `call_id` names the call that a tool's message answers. `may_have_rows`: the
    message, or what is told with it, may quote rows of a user's database, which a tool gave in an earlier answer.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: LongText = ""
    calls: Annotated[tuple[GivenCall, ...], Field(max_length=MAX_CALLS)] = ()
    call_id: str = ""
    may_have_rows: bool = False


class ClientTool(_Part):
    """A tool that the client has. A call of it ends the answer: the client makes the call.

    `parameters` is the JSON schema of the arguments. `strict`: the arguments have to fit it; None for the model's default.
    """

    name: Name
    description: LongText = ""
    parameters: JsonObject = {}
    strict: bool | None = None


class NamedTool(_Part):
    """The one tool that the model has to call."""

    name: Name


class ResponseFormat(_Part):
    """The form of the answer's text. `name`, `description`, `json_schema` and `strict` belong to "json_schema"."""

    type: Literal["text", "json_object", "json_schema"]
    name: Name = "response"
    description: LongText | None = None
    json_schema: JsonObject | None = None
    strict: bool | None = None


class Parameters(_Part):
    """What a request asks of the model. None, and an empty tuple, ask for nothing: then the service's own default holds.

    `messages` are the whole context: nothing of the chat, its memory, or this service's system prompt is told then. With
    `continues_chat`, what was said before in the chat is told in front of them (told_path.py).
    `instructions` are told besides the system prompt, or before `messages`. `own_tools` are the names of this service's tools
    on offer; None for all that are on offer in the chat. `tools` are the client's. `max_output_tokens` bounds the text and the
    reasoning; the service's own bound holds too.
    """

    instructions: LongText | None = None
    messages: Annotated[tuple[GivenMessage, ...], Field(min_length=1, max_length=MAX_MESSAGES)] | None = None
    continues_chat: bool = False
    own_tools: Annotated[tuple[Name, ...], Field(max_length=MAX_TOOLS)] | None = None
    tools: Annotated[tuple[ClientTool, ...], Field(max_length=MAX_TOOLS)] = ()
    tool_choice: ToolChoice | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_output_tokens: MaxTokens | None = None
    stop: Annotated[tuple[Stop, ...], Field(max_length=MAX_STOPS)] = ()
    seed: Seed | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Effort | None = None

    @property
    def is_whole_context(self) -> bool:
        """Whether the model is told these messages, and neither the chat's memory nor the service's own prompt."""
        return self.messages is not None

    @property
    def client_tools(self) -> frozenset[str]:
        """The names of the client's tools."""
        return frozenset(tool.name for tool in self.tools)

    @property
    def uses_tools(self) -> bool:
        """Whether the model has to know tools: some are on offer, or the context has calls or results."""
        of_context = any(message.calls or message.role == "tool" for message in self.messages or ())
        return bool(self.tools or self.own_tools) or of_context

    def to_row(self) -> Json:
        """The form in which a row keeps it: what is asked for, and nothing else."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @classmethod
    def from_row(cls, row: Mapping[str, Any] | None) -> Self:
        """What a row says; a request that asks for nothing where the row has NULL."""
        return cls.model_validate(row or {})
