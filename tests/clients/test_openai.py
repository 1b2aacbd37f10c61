"""OpenAI's clients as their registries have them, the newest and those of a year before: each does all that this API takes."""

import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.worker.runtime import Worker
from tests.clients.conftest import DOCUMENTED, HERE
from tests.clients.programs import Program
from tests.doubles import groq_control
from tests.support.clients import NO_TLS, Client, numbered
from tests.support.ends import newest_end
from tests.support.queued import answer_queued
from tests.support.tools import install_packages, made_once, run_tool, tool
from tests.support.turns import execute

PROGRAMS = HERE / "openai_sdk"
Do = Callable[..., Awaitable[Any]]


def _install_python(folder: Path, version: str) -> None:
    for file in (PROGRAMS / "program.py", DOCUMENTED / "openai_client.py"):
        shutil.copy(file, folder)
    uv = tool("uv")
    run_tool(folder, [uv, "venv", "--quiet", ".venv"])
    run_tool(folder, [uv, "pip", "sync", "--quiet", "--python", ".venv", str(PROGRAMS / f"{version}.txt")])


def _install_node(folder: Path, version: str) -> None:
    for file in (*PROGRAMS.glob("*.json"), PROGRAMS / "program.mjs"):
        shutil.copy(file, folder)
    documented = (DOCUMENTED / "openai_client.mjs").read_text()
    (folder / "openai_client.mjs").write_text(documented.replace('"openai"', f'"openai-{version}"'))
    install_packages(folder)


@pytest.fixture(scope="session", params=["python-newest", "python-oldest", "node-newest", "node-oldest"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A program over each of the packages."""
    language, _, version = request.param.partition("-")
    if language == "node":
        command, install = (tool("node"), "program.mjs"), _install_node
    else:
        command, install = (".venv/bin/python", "program.py"), _install_python
    folder = made_once(tmp_path_factory, f"openai-{request.param}", lambda made: install(made, version))
    return Program((str(folder / command[0]) if language == "python" else command[0], command[1]), folder)


@pytest.fixture
async def key(client: Client) -> str:
    """An API key that may ask."""
    made = await client.http.post("/api/auth/keys", json={"name": "openai", "scopes": ["read", "chat"]})
    return str(made.json()["key"])


@pytest.fixture
async def poor_key(api: str, database_url: str) -> str:
    """The key of another user, whose quota is used up."""
    async with httpx.AsyncClient(base_url=api, verify=NO_TLS) as http:
        poor = Client(http)
        await poor.sign_up()
        me = (await http.get("/api/auth/me")).json()["id"]
        execute(database_url, "UPDATE users SET daily_tokens = 0 WHERE id = %s", me)
        made = await http.post("/api/auth/keys", json={"name": "poor", "scopes": ["read", "chat"]})
        return str(made.json()["key"])


@pytest.fixture
async def do(program: Program, api: str, key: str, worker: Worker, database_url: str) -> AsyncIterator[Do]:
    """Has the program do something, while a worker answers."""

    async def run(what: str, question: str = "Hello") -> Any:  # noqa: ANN401 - any JSON
        return json.loads("".join(await program.run(api, key, what, question)))

    async with answer_queued(worker, database_url):
        yield run


async def test_an_answer_is_streamed(do: Do) -> None:
    assert "".join(await do("stream", "Hello [[tokens=20]]")) == numbered(20)


async def test_usage_is_told_behind_the_last_chunk_and_with_a_whole_answer(do: Do, database_url: str) -> None:
    told = await do("usage", "Hello [[tokens=5]]")
    counted = "SELECT prompt_tokens, completion_tokens, total_tokens FROM model_calls ORDER BY id"
    assert [tuple(counts) for counts in told] == execute(database_url, counted)
    assert {completion for _, completion, _ in told} == {5}


async def test_a_tool_of_the_client_is_called_and_answered_with(do: Do, groq_url: str) -> None:
    mark = uuid4().hex
    await groq_control.script(groq_url, "tool=weather", marker=mark, arguments={"city": "Rome"})
    await groq_control.script(groq_url, marker=mark, reply="Clear in Rome.")
    assert await do("tools", mark) == "Clear in Rome."
    _, second = await groq_control.requests(groq_url, containing=mark, ended=2)
    asked, called, given = second["body"]["messages"]
    assert (asked["role"], called["role"], given["role"]) == ("user", "assistant", "tool")
    assert json.loads(given["content"]) == {"city": "Rome", "sky": "clear"}


async def test_the_streams_helper_puts_tool_calls_together(do: Do, groq_url: str) -> None:
    mark, arguments = uuid4().hex, {"city": "Ürümqi" * 1_000}
    await groq_control.script(groq_url, "tool=weather", marker=mark, arguments=arguments)
    assert await do("helper", mark) == ["weather", arguments]


async def test_an_answer_in_a_form_is_parsed(do: Do, groq_url: str) -> None:
    mark, answer = uuid4().hex, {"city": "Rome", "degrees": 30}
    await groq_control.script(groq_url, marker=mark, reply=json.dumps(answer))
    assert await do("parse", mark) == answer
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    schema = request["body"]["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert set(schema["schema"]["properties"]) == {"city", "degrees"}


async def test_a_model_that_refuses_gives_no_form(do: Do) -> None:
    assert await do("parse", "Hello [[manner=refusal]]") is None


async def test_models_are_listed(do: Do) -> None:
    assert await do("models") == ["double"]


async def test_errors_are_those_of_the_package(do: Do, poor_key: str) -> None:
    too_long = "Hello [[fault=413 code=context_length_exceeded]]"
    assert await do("refusals", json.dumps({"poor": poor_key, "too long": too_long})) == [
        ["AuthenticationError", 401, "invalid_api_key", None],
        ["NotFoundError", 404, "model_not_found", "model"],
        ["BadRequestError", 400, "context_length_exceeded", None],
        ["RateLimitError", 429, "insufficient_quota", None],
        ["BadRequestError", 400, "validation_failed", "n"],
        ["APIError", None, "context_length_exceeded", None],
    ]


async def test_who_leaves_stops_the_answer_unless_it_has_a_key(do: Do, api: str, key: str, database_url: str) -> None:
    assert (await do("leave", "Hello [[tokens=100000 rate=50]]")).startswith("t1 ")
    assert await newest_end(api, key, database_url) == "cancelled"
    assert (await do("leave with a key", "Hello [[tokens=30 rate=60]]")).startswith("t1 ")
    assert await newest_end(api, key, database_url) == "completed"
