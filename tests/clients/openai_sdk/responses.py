"""Does one thing with OpenAI's package for Python, and prints what came of it as JSON: URL, key, what, and its question."""

import json
import sys
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
    for _ in client.responses.retrieve(response.id, stream=True):
        pass  # until it is over
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


def usage(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """The counts of a stream's last event, and those of a whole response."""
    *_, last = client.responses.create(model=MODEL, input=question, stream=True)
    whole = client.responses.create(model=MODEL, input=question)
    counted = [last.response.usage, whole.usage]
    return [[counts.input_tokens, counts.output_tokens, counts.total_tokens] for counts in counted]


def items(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """What becomes of items that are added to a conversation; and an answer that goes on with one by its id."""
    brief: Any = {"type": "message", "role": "developer", "content": "Be brief."}
    said: Any = {"type": "message", "role": "user", "content": "Hi."}
    made = client.conversations.create(items=[brief])
    added = client.conversations.items.create(made.id, items=[said, said])
    first, second = added.data
    same = client.conversations.items.retrieve(first.id, conversation_id=made.id) == first
    left = client.conversations.items.delete(second.id, conversation_id=made.id).id == made.id
    client.responses.create(model=MODEL, input=question, conversation=made.id)
    texts = [item.content[0].text for item in client.conversations.items.list(made.id, order="asc")]
    refers: Any = [{"type": "item_reference", "id": first.id}, {"role": "user", "content": question}]
    response = client.responses.create(model=MODEL, input=refers)
    told = [item.content[0].text for item in client.responses.input_items.list(response.id, order="asc")]
    try:
        client.conversations.items.delete(first.id, conversation_id=made.id)
    except openai.ConflictError as refused:
        return [same, left, texts, told, refused.code]
    return "deleted"


def leave(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """The first piece of a response that is stored, after which the client leaves."""
    return _left(client, question, store=True)


def leave_unstored(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """The first piece of a response that is not stored, after which the client leaves."""
    return _left(client, question, store=False)


def _left(client: OpenAI, question: str, *, store: bool) -> Any:  # noqa: ANN401
    pieces = Answer(client).ask(MODEL, question, store=store)
    first = next(pieces)
    pieces.close()
    return first


def refusals(client: OpenAI, question: str) -> Any:  # noqa: ANN401
    """How a wrong key, an unknown model, a used-up quota and others are raised, and how a failed response says why."""
    given = json.loads(question)

    def refused(key: str, **more: Any) -> Any:  # noqa: ANN401
        try:
            client.with_options(api_key=key).responses.create(**{"model": MODEL, "input": "Hello", **more})
        except openai.APIStatusError as refusal:
            return [type(refusal).__name__, refusal.status_code, refusal.code, refusal.param]
        return None

    failed = client.responses.create(model=MODEL, input=given["too long"])
    return [
        refused("ck_wrong"),
        refused(client.api_key, model="gpt-9"),
        refused(given["poor"]),
        refused(client.api_key, max_tool_calls=3),
        [failed.status, failed.error.code if failed.error else None],
    ]


def main() -> None:
    """Do it."""
    url, key, what, question = sys.argv[1:5]
    client = OpenAI(base_url=f"{url}/v1", api_key=key)
    sys.stdout.write(json.dumps(globals()[what](client, question)))


main()
