"""Asks CortexAI with OpenAI's package: a stream, tools of one's own, and an answer in a form of one's own."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from openai import ContentFilterFinishReasonError, OpenAI
from pydantic import BaseModel

Form = TypeVar("Form", bound=BaseModel)


def connect(url: str, key: str) -> OpenAI:
    """A client. `key` is an API key (`ck_…`) or an access token."""
    return OpenAI(base_url=f"{url}/v1", api_key=key)


def ask(client: OpenAI, model: str, question: str) -> Iterator[str]:
    """The answer's text, piece by piece. Whoever stops reading and closes the generator stops the answer."""
    with client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], stream=True
    ) as stream:
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


def ask_with_tools(
    client: OpenAI,
    model: str,
    question: str,
    tools: Mapping[str, Callable[..., Any]],
    descriptions: Sequence[Mapping[str, Any]],
) -> str:
    """The answer, once the tools have been called that the model asks for. They run here, and not at CortexAI."""
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        answer = client.chat.completions.create(model=model, messages=messages, tools=list(descriptions))  # type: ignore[arg-type]
        message = answer.choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message)
        for call in message.tool_calls:
            given = tools[call.function.name](**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(given)})


def ask_for(client: OpenAI, model: str, question: str, form: type[Form]) -> Form | None:
    """The answer in this form; None where the model refuses."""
    try:
        answer = client.chat.completions.parse(
            model=model, messages=[{"role": "user", "content": question}], response_format=form
        )
    except ContentFilterFinishReasonError:
        return None
    return answer.choices[0].message.parsed
