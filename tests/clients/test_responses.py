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
from tests.clients.test_openai import PROGRAMS, key, poor_key, program
from tests.doubles import groq_control
from tests.support.clients import numbered
from tests.support.ends import newest_end
from tests.support.queued import answer_queued
from tests.support.turns import execute

__all__ = ["key", "poor_key", "program"]

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


async def test_usage_is_told_at_the_end_of_a_stream_and_of_a_whole_response(do: Do, database_url: str) -> None:
    told = await do("usage", "Hello [[tokens=5]]")
    counted = "SELECT prompt_tokens, completion_tokens, total_tokens FROM model_calls WHERE purpose = 'generation' ORDER BY id"
    assert [tuple(counts) for counts in told] == execute(database_url, counted)
    assert {completion for _, completion, _ in told} == {5}


async def test_items_are_added_deleted_taken_and_referred_to(do: Do) -> None:
    question = "Hello [[tokens=2]]"
    assert await do("items", question) == [
        True,
        True,
        ["Be brief.", "Hi.", question, numbered(2)],
        ["Hi.", question],
        "item_not_deletable",
    ]


async def test_errors_are_those_of_the_package(do: Do, poor_key: str) -> None:
    too_long = "Hello [[fault=413 code=context_length_exceeded]]"
    assert await do("refusals", json.dumps({"poor": poor_key, "too long": too_long})) == [
        ["AuthenticationError", 401, "invalid_api_key", None],
        ["NotFoundError", 404, "model_not_found", "model"],
        ["RateLimitError", 429, "insufficient_quota", None],
        ["BadRequestError", 400, "unsupported_parameter", "max_tool_calls"],
        ["failed", "context_length_exceeded"],
    ]


async def test_who_leaves_stops_a_response_only_where_it_is_not_stored(
    do: Do, api: str, key: str, database_url: str
) -> None:
    assert (await do("leave_unstored", "Hello [[tokens=100000 rate=50]]")).startswith("t")
    assert await newest_end(api, key, database_url) == "cancelled"
    assert (await do("leave", "Hello [[tokens=30 rate=60]]")).startswith("t")
    assert await newest_end(api, key, database_url) == "completed"
