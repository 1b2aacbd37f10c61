"""LangChain's package for OpenAI, the newest and one of a year before, at both doors: all that it does, in one program each."""

import json
import shutil
from uuid import uuid4

import pytest

from services.worker.runtime import Worker
from tests.clients.conftest import DOCUMENTED
from tests.clients.programs import Program
from tests.clients.test_openai import PROGRAMS, key, poor_key, program
from tests.doubles import groq_control
from tests.support.clients import numbered
from tests.support.ends import newest_end
from tests.support.queued import answer_queued
from tests.support.turns import execute

__all__ = ["key", "poor_key", "program"]

of_python = pytest.mark.parametrize("program", ["python-newest", "python-oldest"], indirect=True)
LEFT = {
    "chat": ("Hello [[tokens=100000 rate=50]]", "cancelled"),
    "responses": ("Hello [[tokens=30 rate=60]]", "completed"),
}
"""What is asked for and left at each door, and how it ends: a stored response is made to its end."""
TOO_LONG = "Hello [[fault=413 code=context_length_exceeded]]"


@of_python
@pytest.mark.parametrize("door", ["chat", "responses"])
async def test_langchain_does_at_both_doors_what_it_does_at_openais(
    program: Program, api: str, key: str, poor_key: str, worker: Worker, database_url: str, groq_url: str, door: str
) -> None:
    calling, forming, form = uuid4().hex, uuid4().hex, {"city": "Rome", "degrees": 30}
    await groq_control.script(groq_url, "tool=weather", marker=calling, arguments={"city": "Rome"})
    await groq_control.script(groq_url, marker=calling, reply="Clear in Rome.")
    await groq_control.script(groq_url, marker=forming, reply=json.dumps(form))
    left, end = LEFT[door]
    questions = {
        "usage": "Hello [[tokens=5]]",
        "stream": "Hello [[tokens=20]]",
        "tools": calling,
        "parse": forming,
        "poor": poor_key,
        "too long": TOO_LONG,
        "leave": left,
    }
    for file in (PROGRAMS / "over_langchain.py", DOCUMENTED / "langchain_client.py"):
        shutil.copy(file, program.folder)
    asking = Program((program.command[0], "over_langchain.py"), program.folder)
    async with answer_queued(worker, database_url):
        told = json.loads("".join(await asking.run(api, key, door, json.dumps(questions))))
        assert await newest_end(api, key, database_url) == end
    counted = "SELECT prompt_tokens, completion_tokens, total_tokens FROM model_calls ORDER BY id LIMIT 1"
    assert told["usage"] == list(execute(database_url, counted)[0])
    assert "".join(told["stream"]) == numbered(20)
    assert (told["tools"], told["parse"]) == ("Clear in Rome.", form)
    _, second = await groq_control.requests(groq_url, containing=calling, ended=2)
    assert second["body"]["messages"][-1]["content"] == "Clear in Rome"
    assert told["refused"][:3] == [
        ["AuthenticationError", 401, "invalid_api_key"],
        ["NotFoundError", 404, "model_not_found"],
        ["RateLimitError", 429, "insufficient_quota"],
    ]
    kind, status, code = told["refused"][3]
    if door == "chat":
        assert (kind, status, code) == ("BadRequestError", 400, "context_length_exceeded")
    else:  # of a response that failed, LangChain raises the error itself
        assert kind.startswith("ValueError: ResponseError(code='context_length_exceeded'")
    assert told["left"].startswith("t")
