"""Bodies of the door's routes. Source: OpenAI's API reference, chat completions.

What this service can't do is refused, by the parameter's name. What changes nothing about an answer is accepted and passed over.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from services.api.fields import Flag, Storable
from shared.generations.parameters import (
    MAX_CALLS,
    MAX_MESSAGES,
    MAX_TOOLS,
    CallId,
    Effort,
    JsonObject,
    LongText,
    MaxTokens,
    Name,
    Penalty,
    Seed,
    Temperature,
    TopP,
)

MAX_IGNORED_CHARS: Final = 1_000
NO: Final = (False,)


def only(*allowed: object, why: str) -> BeforeValidator:
    """Takes these values alone, and null. `why` says what the matter is with others."""

    def check(value: object) -> object:
        if value is None or any(value == one and type(value) is type(one) for one in allowed):
            return value
        raise ValueError(why)

    return BeforeValidator(check)


Ignored = Annotated[str, StringConstraints(max_length=MAX_IGNORED_CHARS)] | None


class Strict(BaseModel):
    """An unknown member is refused, so that no client believes to have set it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FunctionCall(Strict):
    """What a tool call calls. `arguments` is JSON, as the model wrote it."""

    name: Name
    arguments: LongText = "{}"


class ToolCall(Strict):
    """A tool call of an assistant's message."""

    id: CallId
    type: Literal["function"] = "function"
    function: FunctionCall
    index: int | None = None


class Message(BaseModel):
    """One message. Members that clients send back from an answer, as `refusal` or `annotations`, are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Any = None
    name: Ignored = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=MAX_CALLS, fail_fast=True)] | None = None
    tool_call_id: CallId | None = None
    audio: Annotated[Any, only(why="answers have no audio")] = None
    function_call: Annotated[Any, only(why="send tool_calls instead")] = None


class Function(Strict):
    """A tool of the client's, as the model reads about it."""

    name: Name
    description: LongText | None = None
    parameters: JsonObject | None = None
    strict: Flag | None = None


class Tool(Strict):
    """A tool of the client's. Its calls are given back, and not made."""

    type: Literal["function"]
    function: Function


class JsonSchema(Strict):
    """The schema that the answer has to fit."""

    name: Name
    description: LongText | None = None
    schema_: Annotated[JsonObject | None, Field(alias="schema")] = None
    strict: Flag | None = None


class ResponseFormat(Strict):
    """The form of the answer's text."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Strict):
    """How an answer is streamed. `include_obfuscation` is passed over: chunks have no padding."""

    include_usage: Flag | None = None
    include_obfuscation: Flag | None = None


def _texts(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _check_stops(value: object) -> object:
    return value or None if isinstance(value, list) else value


class ChatCompletion(Strict):
    """What a chat completion is asked for: `messages` are the whole context.

    Of `max_tokens` and `max_completion_tokens`, the smaller one holds. `user`, `metadata`, `safety_identifier`, `service_tier`
    and the like are passed over.
    """

    model: Annotated[str, StringConstraints(min_length=1, max_length=200), Storable]
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    stream: Flag | None = None
    stream_options: StreamOptions | None = None
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stop: Annotated[
        Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=256), Storable]], Field(max_length=4)]
        | None,
        BeforeValidator(_check_stops),
        BeforeValidator(_texts),
    ] = None
    seed: Seed | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS, fail_fast=True)] | None = None
    tool_choice: Any = None
    parallel_tool_calls: Flag | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Effort | None = None

    n: Annotated[Any, only(1, why="must be 1: one answer is made")] = None
    logprobs: Annotated[Any, only(*NO, why="no probabilities are known here")] = None
    top_logprobs: Annotated[Any, only(0, why="no probabilities are known here")] = None
    logit_bias: Annotated[Any, only({}, why="can't be passed on to the models here")] = None
    modalities: Annotated[Any, only(["text"], why="answers are text")] = None
    audio: Annotated[Any, only(why="answers have no audio")] = None
    prediction: Annotated[Any, only(why="can't be passed on to the models here")] = None
    web_search_options: Annotated[Any, only(why="the web is not searched for completions")] = None
    functions: Annotated[Any, only([], why="send tools instead")] = None
    function_call: Annotated[Any, only("none", "auto", why="send tool_choice instead")] = None
    verbosity: Annotated[Any, only("medium", why="must be medium: it can't be passed on")] = None
    store: Annotated[Any, only(*NO, why="must be false: completions are not kept")] = None

    user: Ignored = None
    metadata: JsonObject | None = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_retention: Ignored = None
    service_tier: Ignored = None


class Model(BaseModel):
    """A model that is on offer. `created` is 0: nobody has said when."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class Models(BaseModel):
    """The models that are on offer, the default one first."""

    object: Literal["list"] = "list"
    data: list[Model]
