"""LibreChat's engine (`@librechat/agents` 3.9.2), as LibreChat sets it up for a custom endpoint: answers, tools, titles, ends.

LibreChat itself is in no registry, and needs MongoDB. What it calls besides the engine is `GET /v1/models`.
"""

import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from services.worker.runtime import Worker
from tests.clients.conftest import HERE
from tests.clients.programs import Program
from tests.clients.test_openai import key
from tests.doubles import groq_control
from tests.support.clients import numbered
from tests.support.ends import newest_end
from tests.support.queued import answer_queued
from tests.support.tools import install_packages, made_once, tool

__all__ = ["key"]

ENGINE = HERE / "librechat"
Do = Callable[..., Awaitable[list[Any]]]


def _install(folder: Path) -> None:
    shutil.copytree(ENGINE, folder, dirs_exist_ok=True)
    install_packages(folder)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The program over the engine."""
    node = tool("node")
    return Program((node, "run.mjs"), made_once(tmp_path_factory, "librechat", _install))


@pytest.fixture
def do(engine: Program, api: str, key: str, worker: Worker, database_url: str) -> Do:
    """Has the engine do things, each with its question, while a worker answers. Returns what came of each."""

    async def run(*things: tuple[str, str]) -> list[Any]:
        async with answer_queued(worker, database_url):
            told: list[Any] = json.loads("".join(await engine.run(api, key, json.dumps(things))))
            return told

    return run


def text(answer: str) -> list[dict[str, str]]:
    """The content of a message with this text alone."""
    return [{"type": "text", "text": answer}]


async def test_librechat_shows_answers_reasoning_tools_and_titles(do: Do, groq_url: str) -> None:
    panel, calling, titled = uuid4().hex, uuid4().hex, uuid4().hex
    await groq_control.script(groq_url, "tool=weather", marker=calling, arguments={"city": "Rome"})
    await groq_control.script(groq_url, marker=calling, reply="Clear.")
    await groq_control.script(groq_url, marker=titled, reply="Tides Explained")
    plain, set_up, called, title = await do(
        ("plain", "Hello [[tokens=20 reasoning=2]]"),
        ("panel", f"{panel} [[tokens=5]]"),
        ("tools", calling),
        ("title", titled),
    )
    assert plain == [{"type": "think", "think": "r1 r2 "}, *text(numbered(20))]
    assert set_up == text(numbered(5))
    (request,) = await groq_control.requests(groq_url, containing=panel, ended=1)
    asked = {name: request["body"].get(name) for name in ("temperature", "top_p", "max_tokens", "stop")}
    assert asked == {"temperature": 0.7, "top_p": 0.9, "max_tokens": 50, "stop": None}
    (call,) = [part["tool_call"] for part in called if part and part["type"] == "tool_call"]
    assert (call["name"], json.loads(call["args"]), call["output"]) == ("weather", {"city": "Rome"}, "Clear in Rome.")
    assert (called[-1]["type"], called[-1]["text"]) == ("text", "Clear.")
    assert title == {"title": "Tides Explained"}


async def test_librechat_is_told_why_there_is_no_answer(do: Do) -> None:
    refused = await do(
        ("wrong key", "Hello"),
        ("unknown model", "Hello"),
        ("failure", "Hello [[fault=413 code=context_length_exceeded]]"),
    )
    assert refused == [[401, "invalid_api_key"], [404, "model_not_found"], [None, "context_length_exceeded"]]


async def test_what_librechat_stops_ends_as_cancelled(do: Do, api: str, key: str, database_url: str) -> None:
    (said,) = await do(("stop", "Hello [[tokens=100000 rate=50]]"))
    assert said[0]["text"].startswith("t1 ")
    assert await newest_end(api, key, database_url) == "cancelled"
