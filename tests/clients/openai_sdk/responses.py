"""Does one thing with OpenAI's package for Python, and prints what came of it as JSON: URL, key, what, and its question."""

import json
import sys
import time
from itertools import islice
from typing import Any

import openai  # type: ignore[import-not-found]
from openai import OpenAI
from pydantic import BaseModel
from responses_client import Answer, ask_with_tools  # type: ignore[import-not-found]

MODEL = "double"
DESCRIPTION: Any = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    degrees: int


def stream(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """All pieces."""
    return list(Answer(client).ask(MODEL, question))


def resume(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """The pieces until a cut, and those after it, by the server's counting and by the package's own."""
    answer = Answer(client)
    begun = list(islice(answer.ask(MODEL, question), 10))
    number = answer.number
    rest = list(Answer(client, answer.response_id, number).resume())
    whole = list(Answer(client, answer.response_id).resume())
    filtered: list[str] = []
    if number is not None and not sys.argv[5:]:
        with client.responses.stream(response_id=answer.response_id, starting_after=number) as again:
            filtered = [event.delta for event in again if event.type == "response.output_text.delta"]
    return ["".join(begun), "".join(rest), "".join(whole), "".join(filtered)]


def helper(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """What the package makes of the events."""
    with client.responses.stream(model=MODEL, input=question) as events:
        return events.get_final_response().output_text


def parse(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """An answer in a form."""
    parsed = client.responses.parse(model=MODEL, input=question, text_format=Weather).output_parsed
    return parsed.model_dump() if parsed else None


def tools(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """An answer that needs a tool."""
    made = {"weather": lambda city: {"city": city, "sky": "clear"}}
    return ask_with_tools(client, MODEL, question, made, [DESCRIPTION])


def background(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """An answer that is asked for and looked at later."""
    response = client.responses.create(model=MODEL, input=question, background=True)
    while response.status in {"queued", "in_progress"}:
        time.sleep(0.1)
        response = client.responses.retrieve(response.id)
    return [response.status, response.output_text]


def cancel(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """An answer that is cancelled, and then deleted."""
    response = client.responses.create(model=MODEL, input=question, background=True)
    cancelled = client.responses.cancel(response.id)
    client.responses.delete(response.id)
    try:
        client.responses.retrieve(response.id)
    except openai.NotFoundError:
        return cancelled.status
    return "still there"


def conversation(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """What two answers of a conversation leave in it."""
    made = client.conversations.create(metadata={"a": "b"})
    for _ in range(2):
        client.responses.create(model=MODEL, input=question, conversation=made.id)
    items = client.conversations.items.list(made.id, order="asc", limit=3)
    return [item.content[0].text for item in items]


def error(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """How a refusal is raised."""
    try:
        client.responses.create(model=MODEL, input=question, max_tool_calls=3)
    except openai.BadRequestError as refused:
        return [refused.status_code, refused.param]
    return None


def langchain(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """LangChain's model over responses."""
    # It takes a second, which the other things need not wait for.
    from langchain_openai import ChatOpenAI  # type: ignore[import-not-found] # noqa: PLC0415

    model = ChatOpenAI(base_url=str(client.base_url), api_key=client.api_key, model=MODEL, use_responses_api=True)
    chunks = list(model.stream(question))
    texts = [part["text"] for chunk in chunks for part in chunk.content_blocks if part["type"] == "text"]
    return "".join(texts)


def main() -> None:
    """Do it."""
    url, key, what, question = sys.argv[1:5]
    client = OpenAI(base_url=f"{url}/v1", api_key=key)
    sys.stdout.write(json.dumps(globals()[what](client, question)))


main()
