"""Does one thing with OpenAI's packages for Python, and prints what came of it as JSON: URL, key, what, and its question."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai  # type: ignore[import-not-found]
from pydantic import BaseModel

sys.path.append(str(Path(__file__).parent))

from openai_client import ask, ask_for, ask_with_tools, connect  # type: ignore[import-not-found]

URL, KEY, WHAT, QUESTION = sys.argv[1:]
MODEL = "double"
MESSAGES = [{"role": "user", "content": QUESTION}]
DESCRIPTION: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


client = connect(URL, KEY)


class Weather(BaseModel):
    """A form of an answer."""

    city: str
    degrees: int


def stream() -> object:
    """The pieces of the answer."""
    return list(ask(client, MODEL, QUESTION))


def leave() -> object:
    """The first piece, after which the client leaves."""
    pieces = ask(client, MODEL, QUESTION)
    first = next(pieces)
    pieces.close()
    return first


def usage() -> object:
    """The counts behind the last chunk."""
    options = {"include_usage": True}
    *_, last = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, stream_options=options)
    return last.usage.model_dump(exclude_none=True)


def tools() -> object:
    """The answer, after the tools it asks for."""
    return ask_with_tools(
        client, MODEL, QUESTION, {"weather": lambda city: {"city": city, "sky": "clear"}}, [DESCRIPTION]
    )


def parse() -> object:
    """The answer in a form."""
    return ask_for(client, MODEL, QUESTION, Weather).model_dump()


def helper() -> object:
    """The tool call that the package puts together from a stream."""
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES, tools=[DESCRIPTION]) as chunks:
        for _ in chunks:
            pass
        call = chunks.get_final_completion().choices[0].message.tool_calls[0]
    return [call.function.name, json.loads(call.function.arguments)]


def models() -> object:
    """The ids of the models."""
    return [model.id for model in client.models.list()]


def error() -> object:
    """How a refusal is raised."""
    try:
        client.chat.completions.create(model=MODEL, messages=MESSAGES, n=2)
    except openai.BadRequestError as refusal:
        return [refusal.status_code, refusal.param, refusal.code, refusal.type]
    raise AssertionError("nothing was refused")


def wrong_key() -> object:
    """How a wrong key is raised."""
    try:
        connect(URL, "ck_wrong").models.list()
    except openai.AuthenticationError as refusal:
        return [refusal.status_code, refusal.code]
    raise AssertionError("nothing was refused")


def failure() -> object:
    """How an answer that fails in its stream is raised."""
    try:
        stream()
    except openai.APIError as failed:
        return [type(failed).__name__, failed.code]
    raise AssertionError("nothing failed")


def langchain() -> Any:  # noqa: ANN401 - the package is not among this project's
    """LangChain's model over this API. The package takes seconds to load."""
    from langchain_openai import ChatOpenAI  # type: ignore[import-not-found]  # noqa: PLC0415

    return ChatOpenAI(base_url=f"{URL}/v1", api_key=KEY, model=MODEL, stream_usage=True)


def langchain_stream() -> object:
    """LangChain's answer from a stream, and its tokens."""
    whole, *rest = langchain().stream(QUESTION)
    for piece in rest:
        whole += piece
    return [whole.content, whole.usage_metadata["total_tokens"]]


def langchain_tools() -> object:
    """The tool calls that LangChain gets."""
    return [[call["name"], call["args"]] for call in langchain().bind_tools([DESCRIPTION]).invoke(QUESTION).tool_calls]


def langchain_parse() -> object:
    """LangChain's answer in a form."""
    return langchain().with_structured_output(Weather, method="json_schema").invoke(QUESTION).model_dump()


THINGS: dict[str, Callable[[], object]] = {
    "stream": stream,
    "leave": leave,
    "usage": usage,
    "tools": tools,
    "parse": parse,
    "helper": helper,
    "models": models,
    "error": error,
    "wrong key": wrong_key,
    "failure": failure,
    "langchain stream": langchain_stream,
    "langchain tools": langchain_tools,
    "langchain parse": langchain_parse,
}
sys.stdout.write(json.dumps(THINGS[WHAT]()))
