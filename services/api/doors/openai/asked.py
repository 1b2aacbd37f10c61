"""What a chat completion asks of the model, from the request's body."""

from typing import Any, Final

from services.api.doors.openai.given import (
    CHOICES,
    client_tool,
    insist_on_object,
    insist_on_schema,
    invalid,
    read_choice,
    read_penalty,
)
from services.api.doors.openai.schemas import ChatCompletion, Message, ToolCall
from shared.errors import ParameterNotSupported, PartNotSupported
from shared.generations import parameters as given
from shared.generations.parameters import MAX_TEXT_CHARS, GivenCall, GivenMessage, NamedTool, Parameters, ToolChoice

SYSTEM: Final = frozenset({"system", "developer"})


def to_parameters(body: ChatCompletion) -> Parameters:
    """The request's parameters. Its messages are the whole context, and no tool of this service is on offer.

    Raises:
        RequestValidationError: a member does not fit the others.
        PartNotSupported: a message has a part that is not text.
        ParameterNotSupported: a tool is chosen in a way that is not known here.

    """
    if body.stream_options is not None and not body.stream:
        raise invalid(("stream_options",), "must only be there where stream is true")
    tools = [tool.function for tool in body.tools or ()]
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        raise invalid(("tools",), "must have each name only once")
    return Parameters(
        messages=_read_messages(body.messages),
        own_tools=(),
        tools=tuple(client_tool(tool.name, tool.description, tool.parameters, strict=tool.strict) for tool in tools),
        tool_choice=_read_choice(body.tool_choice, names),
        parallel_tool_calls=body.parallel_tool_calls if tools else None,
        temperature=body.temperature,
        top_p=body.top_p,
        max_output_tokens=min(
            (most for most in (body.max_tokens, body.max_completion_tokens) if most is not None), default=None
        ),
        stop=tuple(body.stop or ()),
        seed=body.seed,
        presence_penalty=read_penalty(body.presence_penalty),
        frequency_penalty=read_penalty(body.frequency_penalty),
        response_format=_read_format(body),
        reasoning_effort=body.reasoning_effort,
    )


def _read_messages(messages: list[Message]) -> tuple[GivenMessage, ...]:
    read = list[GivenMessage]()
    called = set[str]()
    for index, message in enumerate(messages):
        at = ("messages", index)
        calls = tuple(
            _read_call(call, (*at, "tool_calls", number)) for number, call in enumerate(message.tool_calls or ())
        )
        if calls and message.role != "assistant":
            raise invalid((*at, "tool_calls"), "must only be there in messages of the assistant")
        content = _text_of(message.content, (*at, "content"))
        if content is None and not calls and message.role != "assistant":
            raise invalid((*at, "content"), "must be a text")
        call_id = ""
        if message.role == "tool":
            call_id = message.tool_call_id or ""
            if call_id not in called:
                raise invalid((*at, "tool_call_id"), "must name a tool call of a message before")
        called.update(call.id for call in calls)
        role = "system" if message.role == "developer" else message.role
        read.append(GivenMessage(role=role, content=content or "", calls=calls, call_id=call_id))
    return tuple(read)


def _read_call(call: ToolCall, at: tuple[str | int, ...]) -> GivenCall:
    insist_on_object(call.function.arguments, (*at, "function", "arguments"))
    return GivenCall(id=call.id, name=call.function.name, arguments=call.function.arguments)


def _text_of(content: Any, at: tuple[str | int, ...]) -> str | None:  # noqa: ANN401 - any JSON
    """The text of a message's content: a text, or parts that are texts. None where it has none."""
    match content:
        case None:
            return None
        case str():
            text = content
        case list():
            text = "\n".join(_part(part, (*at, number)) for number, part in enumerate(content))
        case _:
            raise invalid(at, "must be a text, or a list of parts")
    if len(text) > MAX_TEXT_CHARS:
        raise invalid(at, f"must have at most {MAX_TEXT_CHARS} characters")
    try:
        given.check_storable(text)
    except ValueError as error:
        raise invalid(at, str(error)) from None
    return text


def _part(part: Any, at: tuple[str | int, ...]) -> str:  # noqa: ANN401 - any JSON
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise invalid(at, "must be a part with a type")
    field = "refusal" if part["type"] == "refusal" else "text"
    if part["type"] not in {"text", "refusal"}:
        kind = "file" if part["type"] in {"image_url", "input_audio", "file"} else "other"
        raise PartNotSupported(".".join(map(str, at)), kind)
    if not isinstance(part.get(field), str):
        raise invalid((*at, field), "must be a text")
    return str(part[field])


def _read_choice(choice: Any, names: list[str]) -> ToolChoice | NamedTool | None:  # noqa: ANN401 - any JSON
    """Whether, or which, tool is called. Without tools, only that none is called can be said."""
    match choice:
        case None:
            return None
        case str() if choice in CHOICES:
            return read_choice(choice, names)
        case {"type": "function", "function": {"name": str() as name}}:
            if name not in names:
                raise invalid(("tool_choice",), "must name one of the tools")
            return NamedTool(name=name)
        case _:
            raise ParameterNotSupported("tool_choice", "must be none, auto, required, or name a function")


def _read_format(body: ChatCompletion) -> given.ResponseFormat | None:
    asked = body.response_format
    if asked is None or asked.type == "text":
        return None
    form, schema = given.ResponseFormat(type=asked.type), asked.json_schema
    if asked.type == "json_schema" and schema is not None:
        form = given.ResponseFormat(
            type="json_schema",
            name=schema.name,
            description=schema.description,
            json_schema=schema.schema_,
            strict=schema.strict,
        )
    return insist_on_schema(form, ("response_format", "json_schema"))
