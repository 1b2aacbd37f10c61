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


def leave_with_a_key() -> object:
    """The first piece of an answer that may be asked for again, after which the client leaves."""
    headers = {"Idempotency-Key": "again"}
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, extra_headers=headers)
    with stream:
        return next(chunk.choices[0].delta.content for chunk in stream if chunk.choices[0].delta.content)


def usage() -> object:
    """The counts behind the last chunk, and those of a whole answer."""
    options = {"include_usage": True}
    *_, last = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, stream_options=options)
    whole = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    counted = [last.usage, whole.usage]
    return [[counts.prompt_tokens, counts.completion_tokens, counts.total_tokens] for counts in counted]


def tools() -> object:
    """The answer, after the tools it asks for."""
    return ask_with_tools(
        client, MODEL, QUESTION, {"weather": lambda city: {"city": city, "sky": "clear"}}, [DESCRIPTION]
    )


def parse() -> object:
    """The answer in a form; None where the model refuses."""
    answer = ask_for(client, MODEL, QUESTION, Weather)
    return answer and answer.model_dump()


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


def refused(asking: Callable[[], object]) -> list[object]:
    """How a refusal is raised."""
    try:
        asking()
    except openai.APIError as refusal:
        status = getattr(refusal, "status_code", None)
        return [type(refusal).__name__, status, refusal.code, refusal.param]
    raise AssertionError("nothing was refused")


def refusals() -> object:
    """How a wrong key, an unknown model, a long context, a used-up quota and others are raised."""
    given = json.loads(QUESTION)

    def asked(url_key: str = KEY, content: str = "Hello", **more: Any) -> Callable[[], object]:  # noqa: ANN401
        body = {"model": MODEL, "messages": [{"role": "user", "content": content}], **more}
        return lambda: list(connect(URL, url_key).chat.completions.create(**body))

    return [
        refused(asked("ck_wrong")),
        refused(asked(model="gpt-9")),
        refused(asked(content=given["too long"])),
        refused(asked(given["poor"])),
        refused(asked(n=2)),
        refused(asked(content=given["too long"], stream=True)),
    ]


THINGS: dict[str, Callable[[], object]] = {
    "stream": stream,
    "leave": leave,
    "leave with a key": leave_with_a_key,
    "usage": usage,
    "tools": tools,
    "parse": parse,
    "helper": helper,
    "models": models,
    "refusals": refusals,
}
sys.stdout.write(json.dumps(THINGS[WHAT]()))
