"""Does all with LangChain's package, and prints what came of it as JSON: URL, key, whether at responses, and the questions."""

import json
import sys
from typing import Any

from langchain_client import ask, ask_for, ask_with_tools, connect  # type: ignore[import-not-found]
from langchain_core.messages import AIMessageChunk
from langchain_core.tools import tool
from pydantic import BaseModel

URL, KEY, AT_RESPONSES, QUESTIONS = sys.argv[1], sys.argv[2], sys.argv[3] == "responses", json.loads(sys.argv[4])


def model(key: str = KEY, name: str = "double") -> Any:  # noqa: ANN401 - the package is not among this project's
    """A model over this API."""
    return connect(URL, key, name, use_responses_api=AT_RESPONSES)


class Weather(BaseModel):
    """A form of an answer."""

    city: str
    degrees: int


@tool
def weather(city: str) -> str:
    """Tells the weather."""
    return f"Clear in {city}"


def usage() -> list[int]:
    """The counts that LangChain puts together from a stream."""
    whole: AIMessageChunk
    whole, *rest = model().stream(QUESTIONS["usage"])
    for piece in rest:
        whole += piece
    counts = whole.usage_metadata
    assert counts is not None
    return [counts["input_tokens"], counts["output_tokens"], counts["total_tokens"]]


def refused(asked: Any, question: str = "Hello") -> list[object]:  # noqa: ANN401
    """How a refusal is raised: the class of OpenAI's that it has, or its text where it has none; its status and its code."""
    try:
        asked.invoke(question)
    except Exception as refusal:  # noqa: BLE001 - told by its name
        of_openai = [kind.__name__ for kind in type(refusal).__mro__ if kind.__module__.startswith("openai")]
        kind = of_openai[0] if of_openai else f"{type(refusal).__name__}: {refusal}"
        return [kind, getattr(refusal, "status_code", None), getattr(refusal, "code", None)]
    return ["nothing was refused"]


def leave() -> str:
    """The first piece, after which the client leaves."""
    pieces = ask(model(), QUESTIONS["leave"])
    first: str = next(pieces)
    pieces.close()
    return first


told = {
    "usage": usage(),
    "stream": list(ask(model(), QUESTIONS["stream"])),
    "tools": ask_with_tools(model(), QUESTIONS["tools"], [weather]),
    "parse": ask_for(model(), QUESTIONS["parse"], Weather).model_dump(),
    "refused": [
        refused(model("ck_wrong")),
        refused(model(name="gpt-9")),
        refused(model(QUESTIONS["poor"])),
        refused(model(), QUESTIONS["too long"]),
    ],
    "left": leave(),
}
sys.stdout.write(json.dumps(told))
