"""Each supported version of the AI SDK renders an answer as the chat's view tells it, however the answer ended."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from shared.settings import Settings
from tests.clients.programs import Program
from tests.clients.test_strict_clients import VERSIONS
from tests.conftest import settings_for
from tests.doubles import tavily_control
from tests.support.clients import Client, numbered
from tests.support.turns import Posted, answer, post


@pytest.fixture
def settings(database_url: str, valkey: EmbeddedValkey, groq_url: str, tavily_url: str) -> Settings:
    """With a key for the web search."""
    return settings_for(database_url, valkey.url, groq_url, tavily_api_key="tvly-test", tavily_base_url=tavily_url)


async def rendered(node: Callable[[str], Program], version: str, client: Client, posted: Posted) -> dict[str, Any]:
    """The message that a version of the SDK renders of an answer, and the errors that it reports."""
    token = client.token
    (line,) = await node("message.mjs").run(version, f"{client.http.base_url}{posted.stream_url}", token)
    told: dict[str, Any] = json.loads(line)
    return told


def shown(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Parts as a view has them: without what a version adds for itself."""
    kept = (
        "type",
        "id",
        "text",
        "data",
        "toolName",
        "toolCallId",
        "state",
        "input",
        "output",
        "errorText",
        "url",
        "title",
    )
    mine = [{key: part[key] for key in kept if key in part} for part in parts]
    return [{k: v for k, v in part.items() if k != "state" or part["type"] == "dynamic-tool"} for part in mine]


async def test_each_version_shows_what_the_view_shows(
    node: Callable[[str], Program], client: Client, worker: Worker, tavily_url: str
) -> None:
    query = uuid4().hex
    whole, _ = await answer(client, worker, f"{query} [[tokens=4 tool=1 after=2 query={query}]]")
    failed, _ = await answer(client, worker, "[[tokens=40 fault=cut after=4]]")
    stopped = await post(client, f"{uuid4().hex} [[tokens=4 tool=1 after=2 query={query}s]]")
    await tavily_control.script(tavily_url, "fault=hang", marker=f"{query}s")
    making = asyncio.create_task(worker.attempts.run(stopped.generation_id))
    await tavily_control.searches(tavily_url, containing=f"{query}s", arrived=1)
    await client.http.post(f"/api/generations/{stopped.generation_id}/cancel")
    await making
    for posted, status in ((whole, "completed"), (failed, "failed"), (stopped, "cancelled")):
        question, reply = await client.messages(posted.chat_id)
        assert reply["status"] == status
        told = await asyncio.gather(*(rendered(node, version, client, posted) for version in VERSIONS))
        for version, one in zip(VERSIONS, told, strict=True):
            message = one["message"]
            assert message["id"] == str(reply["id"]), version
            assert message["metadata"]["userMessageId"] == str(question["id"]), version
            assert message["metadata"].get("status") == ("cancelled" if status == "cancelled" else None), version
            assert shown(message["parts"]) == shown(reply["parts"]), version
            sorry = [f"Error: {reply['generation']['error']['message']}"] if status == "failed" else []
            assert one["errors"] == sorry, version
    assert numbered(2) in reply["content"]
