"""Asks CortexAI for responses with OpenAI's package: a stream that goes on after a cut, a conversation, tools of one's own."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from openai import OpenAI

ENDS = ("response.completed", "response.failed", "response.incomplete")


class Answer:
    """A response that is read piece by piece, and again from where it was left."""

    def __init__(self, client: OpenAI, response_id: str = "", number: int | None = None) -> None:
        self.client, self.response_id, self.number = client, response_id, number
        self.is_over = False

    def ask(self, model: str, question: str, **more: Any) -> Iterator[str]:  # noqa: ANN401
        """Ask. The answer is made whether somebody reads it or not."""
        return self._read(self.client.responses.create(model=model, input=question, stream=True, **more))

    def resume(self) -> Iterator[str]:
        """What comes behind that which was read: after a cut, in another process, or next year."""
        more: dict[str, Any] = {} if self.number is None else {"starting_after": self.number}
        return self._read(self.client.responses.retrieve(self.response_id, stream=True, **more))

    def _read(self, stream: Any) -> Iterator[str]:  # noqa: ANN401
        with stream:
            for event in stream:
                self.number = event.sequence_number
                if event.type == "response.created":
                    self.response_id = event.response.id
                elif event.type == "response.output_text.delta":
                    yield event.delta
                elif event.type in ENDS:
                    self.is_over = True


def ask_with_tools(
    client: OpenAI,
    model: str,
    question: str,
    tools: Mapping[str, Callable[..., Any]],
    descriptions: Sequence[Mapping[str, Any]],
) -> str:
    """The answer, once the tools have been called that the model asks for. They run here, and not at CortexAI."""
    given: Any = question
    previous: str | None = None
    while True:
        response = client.responses.create(
            model=model,
            input=given,
            tools=list(descriptions),  # type: ignore[arg-type]
            previous_response_id=previous,
        )
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            return response.output_text
        previous = response.id
        given = [
            {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": json.dumps(tools[call.name](**json.loads(call.arguments))),
            }
            for call in calls
        ]
