"""Bodies of the routes for responses and conversations. Source: docs/protocol.md, "Responses"."""

from collections.abc import Collection, Container, Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from services.api.doors.openai.given import CHOICES, insist_on_schema, invalid, read_penalty
from services.api.doors.openai.responses.output_items import Json
from services.api.doors.openai.responses.tools import read_choice, read_tools
from services.api.fields import Body, Flag, Storable, Text
from shared.errors import ParameterNotSupported
from shared.generations.parameters import (
    MAX_MESSAGES,
    MAX_TOOLS,
    JsonObject,
    LongText,
    MaxTokens,
    Name,
    Parameters,
    Penalty,
    ResponseFormat,
    Temperature,
    TopP,
    check_storable,
)

MAX_METADATA: Final = 16
MAX_ITEMS: Final = 20
"""So many items are added at a time."""
_INCLUDABLE: Final = frozenset(
    {"web_search_call.action.sources", "reasoning.encrypted_content", "web_search_call.results"}
)
"""What a request may ask to be included. The sources are told anyway, and reasoning is not encrypted."""

_UNSUPPORTED: Final = ("prompt", "moderation", "context_management", "max_tool_calls")
_EFFORTS: Final = frozenset({None, "low", "medium", "high"})
_NO_SUMMARIES: Final = "no summaries are made here; leave it out, or send auto"


def _few(metadata: object) -> object:
    """Comes before the members are looked at: there may be 90,000."""
    if isinstance(metadata, dict) and len(metadata) > MAX_METADATA:
        raise ValueError(f"must have at most {MAX_METADATA} members")
    return metadata


Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=64), Storable],
        Annotated[str, StringConstraints(max_length=512), Storable],
    ],
    BeforeValidator(_few),
]
ShortText = Annotated[str, StringConstraints(max_length=512), Storable]
Refused = Annotated[Any, AfterValidator(check_storable)]
"""What is refused by its name, unless it is null."""


class Reasoning(Body):
    """How much the model is to think. A `summary` is not made: reasoning is told as it is, where the model tells it."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class TextFormat(BaseModel):
    """The form of the answer's text."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: Name | None = None
    description: LongText | None = None
    json_schema: JsonObject | None = Field(default=None, alias="schema")
    strict: bool | None = None


class TextOptions(Body):
    """Options of the answer's text."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ConversationRef(Body):
    """A conversation, by its id."""

    id: ShortText


class StreamOptions(Body):
    """Options of the stream. No obfuscation is ever sent."""

    include_obfuscation: Flag | None = None


def _text_or_items(value: object) -> object:
    """Comes before the union, whose errors would name pydantic's branches."""
    if isinstance(value, list) and len(value) > MAX_MESSAGES:
        raise ValueError(f"must have at most {MAX_MESSAGES} items")  # before each is looked at
    if isinstance(value, str | list):
        return check_storable(value)
    raise ValueError("must be a text or a list of items")


def _choice(value: object) -> object:
    """Likewise."""
    if not (value is None or isinstance(value, dict) or (isinstance(value, str) and value in CHOICES)):
        raise ValueError("must be none, auto, required, or one of the tools")
    return check_storable(value)


def _as_reference(value: object) -> object:
    """Likewise."""
    if isinstance(value, str):
        return {"id": value}
    if not (value is None or isinstance(value, dict)):
        raise ValueError("must be the id of a conversation, or an object that has this")
    return value


class NewResponse(Body):
    """A request for a response. What is not supported is refused, by the parameter's name.

    `input` is a text, or items. The answer belongs to `conversation`; or it follows `previous_response_id`, in its conversation,
    instead of what followed that one before; or to a conversation of its own. With `store: false` there is none.
    """

    model: Annotated[str, StringConstraints(max_length=200), Storable]
    input: Annotated[str | list[Any], BeforeValidator(_text_or_items)]
    instructions: Text | None = None
    previous_response_id: ShortText | None = None
    conversation: Annotated[
        ConversationRef | None, BeforeValidator(_as_reference, json_schema_input_type=str | ConversationRef | None)
    ] = None
    metadata: Metadata | None = None
    store: Flag | None = None
    stream: Flag | None = None
    stream_options: StreamOptions | None = None
    background: Flag | None = None
    max_output_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    reasoning: Reasoning | None = None
    text: TextOptions | None = None
    tools: Annotated[list[JsonObject], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Annotated[Literal["none", "auto", "required"] | dict[str, Any] | None, BeforeValidator(_choice)] = None
    parallel_tool_calls: Flag | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: Annotated[list[str], Field(fail_fast=True)] | None = None
    top_logprobs: int | None = None
    max_tool_calls: int | None = None
    service_tier: ShortText | None = None
    prompt: Refused = None
    moderation: Refused = None
    context_management: Refused = None
    user: ShortText | None = None
    safety_identifier: ShortText | None = None
    prompt_cache_key: ShortText | None = None
    prompt_cache_retention: ShortText | None = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation's id."""
        return self.conversation.id if self.conversation else None

    @property
    def is_stored(self) -> bool:
        """Whether the response is kept."""
        return self.store is not False

    def insist_on_supported(self) -> None:
        """Refuse what would change the answer and is not supported.

        Raises:
            ParameterNotSupported: this is so; the error names the parameter.

        """
        if self.previous_response_id is not None and self.conversation is not None:
            raise ParameterNotSupported("conversation", "can't go with previous_response_id")
        if self.background and not self.is_stored:
            raise ParameterNotSupported("background", "needs store: true")
        insist_on_includable(self.include or ())
        checked: tuple[tuple[str, Any, Container[Any], str], ...] = (
            *((name, getattr(self, name), {None}, "is not supported here") for name in _UNSUPPORTED),
            ("top_logprobs", self.top_logprobs, {None, 0}, "is not supported here"),
            ("service_tier", self.service_tier, {None, "auto", "default"}, "must be auto or default"),
            ("text.verbosity", self.text and self.text.verbosity, {None, "medium"}, "is not supported here"),
            ("reasoning.effort", self.reasoning and self.reasoning.effort, _EFFORTS, "must be low, medium or high"),
            ("reasoning.summary", self.reasoning and self.reasoning.summary, {None, "auto"}, _NO_SUMMARIES),
        )
        for name, value, taken, why in checked:
            if isinstance(value, list | dict) or value not in taken:
                raise ParameterNotSupported(name, why)

    def parameters(self, own_tools: Collection[str]) -> Parameters:
        """What is asked of the model, without what the conversation says. `own_tools` are this service's that are on offer.

        Raises:
            ParameterNotSupported, InvalidInput, RequestValidationError: a tool, the choice of one, or the form of the text is not
                taken here.

        """
        tools = read_tools(self.tools or [], own_tools)
        effort = self.reasoning.effort if self.reasoning else None
        return Parameters.model_validate(
            {
                "instructions": self.instructions,
                "own_tools": tools.own,
                "tools": tools.theirs,
                "tool_choice": read_choice(self.tool_choice, tools),
                "parallel_tool_calls": self.parallel_tool_calls if tools.names else None,
                "temperature": self.temperature,
                "top_p": self.top_p,
                "max_output_tokens": self.max_output_tokens,
                "presence_penalty": read_penalty(self.presence_penalty),
                "frequency_penalty": read_penalty(self.frequency_penalty),
                "response_format": _read_format(self.text.format if self.text else None),
                "reasoning_effort": effort,
            }
        )

    def told(self) -> Json:
        """What a response says of this request again: what it named."""
        names = {
            "model", "instructions", "previous_response_id", "metadata", "store", "background", "max_output_tokens",
            "temperature", "top_p", "presence_penalty", "frequency_penalty", "tool_choice", "parallel_tool_calls",
            "truncation", "user", "safety_identifier", "prompt_cache_key",
        }  # fmt: skip
        told = self.model_dump(mode="json", include=names, exclude_none=True)
        if self.tools:
            told["tools"] = [_told_tool(tool) for tool in self.tools]
        if self.reasoning is not None:
            told["reasoning"] = {"effort": self.reasoning.effort, "summary": self.reasoning.summary}
        if self.text is not None and self.text.format is not None:
            told["text"] = {"format": _told_format(self.text.format)}
        return told


def insist_on_includable(names: Iterable[str]) -> None:
    """Refuse what can't be included in a response. Raises ParameterNotSupported, which names the place."""
    for number, name in enumerate(names):
        if name not in _INCLUDABLE:
            raise ParameterNotSupported(f"include[{number}]", f"must be one of {', '.join(sorted(_INCLUDABLE))}")


def _read_format(given: TextFormat | None) -> ResponseFormat | None:
    if given is None or given.type == "text":
        return None
    if given.type == "json_schema" and given.name is None:
        raise invalid(("text", "format", "name"), "must be there")
    form = ResponseFormat.model_validate(given.model_dump(exclude_none=True))
    return insist_on_schema(form, ("text", "format", "schema"))


def _told_format(given: TextFormat) -> Json:
    if given.type != "json_schema":
        return {"type": given.type}
    return {
        "type": given.type,
        "name": given.name,
        "description": given.description,
        "schema": given.json_schema,
        "strict": bool(given.strict),
    }


def _told_tool(tool: Json) -> Json:
    """A tool as it is told again: functions have all of their members."""
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": None, **tool}


class NewConversation(Body):
    """A conversation to make, with items that its first response takes."""

    metadata: Metadata | None = None
    items: Annotated[list[Any], Field(max_length=MAX_ITEMS), AfterValidator(check_storable)] | None = None


class NewItems(Body):
    """Items to add to a conversation."""

    items: Annotated[list[Any], Field(min_length=1, max_length=MAX_ITEMS), AfterValidator(check_storable)]


class ConversationChange(Body):
    """What a conversation's metadata are to be."""

    metadata: Metadata
