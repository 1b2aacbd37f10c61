"""OpenAI's clients at `/v1/responses`, the newest and those of a year before: streams, resumptions, tools, conversations."""

import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from services.worker.runtime import Worker
from tests.clients.conftest import DOCUMENTED
from tests.clients.programs import Program
from tests.clients.test_openai import PROGRAMS, key, program
from tests.doubles import groq_control
from tests.support.clients import numbered
from tests.support.queued import answer_queued

__all__ = ["key", "program"]

Do = Callable[..., Awaitable[Any]]


@pytest.fixture
async def do(program: Program, api: str, key: str, worker: Worker, database_url: str) -> AsyncIterator[Do]:
    """Has a program over the package do something, while a worker answers."""
    kind = program.command[1].rpartition(".")[2]
    shutil.copy(PROGRAMS / f"responses.{kind}", program.folder)
    documented = (DOCUMENTED / f"responses_client.{kind}").read_text()
    if kind == "mjs":
        package = next(
            line for line in (program.folder / "openai_client.mjs").read_text().splitlines() if "import" in line
        )
        documented = documented.replace('import OpenAI from "openai";', package)
    (program.folder / f"responses_client.{kind}").write_text(documented)
    asking = Program((program.command[0], f"responses.{kind}"), program.folder)

    async def run(what: str, question: str = "Hello") -> Any:  # noqa: ANN401 - any JSON
        return json.loads("".join(await asking.run(api, key, what, question)))

    async with answer_queued(worker, database_url):
        yield run


async def test_a_response_is_streamed(do: Do) -> None:
    assert "".join(await do("stream", "Hello [[tokens=20]]")) == numbered(20)


async def test_the_streams_helper_puts_a_response_together(do: Do) -> None:
    assert await do("helper", "Hello [[tokens=20]]") == numbered(20)


async def test_a_response_goes_on_after_a_cut_by_the_servers_and_by_the_clients_counting(do: Do) -> None:
    begun, rest, whole, filtered = await do("resume", "Hello [[tokens=300]]")
    assert begun == numbered(300)[:10]
    assert begun + rest == whole == numbered(300)
    assert filtered == rest


async def test_a_response_in_a_form_is_parsed(do: Do, groq_url: str) -> None:
    mark, answer = uuid4().hex, {"city": "Rome", "degrees": 30}
    await groq_control.script(groq_url, marker=mark, reply=json.dumps(answer))
    assert await do("parse", mark) == answer
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    assert request["body"]["response_format"]["json_schema"]["strict"] is True


async def test_a_tool_of_the_client_is_called_and_answered_with(do: Do, groq_url: str) -> None:
    mark = uuid4().hex
    await groq_control.script(groq_url, "tool=weather", marker=mark, arguments={"city": "Rome"})
    await groq_control.script(groq_url, marker=mark, reply="Clear in Rome.")
    assert await do("tools", mark) == "Clear in Rome."
    _, second = await groq_control.requests(groq_url, containing=mark, ended=2)
    assert json.loads(second["body"]["messages"][-1]["content"]) == {"city": "Rome", "sky": "clear"}


async def test_a_response_in_the_background_is_looked_at_later(do: Do) -> None:
    assert await do("background", "Hello [[tokens=5]]") == ["completed", numbered(5)]


async def test_a_response_is_cancelled_and_deleted(do: Do) -> None:
    assert await do("cancel", "Hello [[tokens=100000 rate=50]]") == "cancelled"


async def test_a_conversation_is_listed(do: Do) -> None:
    question = "Hello [[tokens=2]]"
    assert await do("conversation", question) == [question, numbered(2)] * 2


async def test_langchain_streams_responses(do: Do, program: Program) -> None:
    if program.command[1].endswith(".py"):
        assert await do("langchain", "Hello [[tokens=20]]") == numbered(20)


@pytest.mark.parametrize("provider", ["openai", "open-responses"])
async def test_the_ai_sdks_providers_stream_and_call_tools(
    program: Program, api: str, key: str, worker: Worker, database_url: str, groq_url: str, provider: str
) -> None:
    if "node-newest" not in str(program.folder):
        return
    mark = uuid4().hex
    await groq_control.script(groq_url, "tool=weather", marker=mark, arguments={"city": "Rome"})
    await groq_control.script(groq_url, marker=mark, reply="Clear in Rome.")
    shutil.copy(PROGRAMS / "ai_sdk.mjs", program.folder)
    asking = Program((program.command[0], "ai_sdk.mjs"), program.folder)
    async with answer_queued(worker, database_url):
        told = json.loads("".join(await asking.run(api, key, provider, mark)))
    assert told == [numbered(30), "stop", True, "Clear in Rome.", 2]


async def test_a_refusal_names_the_parameter(do: Do) -> None:
    assert await do("error") == [400, "max_tool_calls"]
