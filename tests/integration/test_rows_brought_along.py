"""Rows of a user's database that a client brings into another chat: what reaches outside needs a person there too."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import NewSystem
from tests.doubles import groq_control, tavily_control
from tests.support.api_keys import by_key, made_key
from tests.support.clients import NO_TLS, Client
from tests.support.openai_events import Json
from tests.support.system import System

ROW = "clara@example.com"


@pytest.fixture(scope="module")
async def system(new_system: NewSystem, tavily_url: str) -> AsyncIterator[System]:
    made = new_system(
        TOOLS="web_search,current_time",
        TAVILY_API_KEY="tvly-test",
        TAVILY_BASE_URL=tavily_url,
        USER_MESSAGES_PER_MINUTE="0",
    )
    yield made
    made.end()


@pytest.fixture(scope="module")
async def url(system: System) -> str:
    _, started = await system.start_api()
    await system.start_worker()
    return started


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A program with an API key."""
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as opened:
        user = Client(opened)
        await user.sign_up()
        key = (await made_key(user, "chat"))["key"]
        async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30, headers=by_key(key)) as program:
            yield program


def call_of(tool: str) -> Json:
    """A call of a tool of this service, as its response told it."""
    output = f'[{{"rows":[["{ROW}"]]}}]'
    return {"type": "mcp_call", "id": f"mcp_{uuid4().hex}", "name": tool, "server_label": "cortexai"} | {
        "arguments": "{}",
        "output": output,
    }


async def searching(http: httpx.AsyncClient, groq_url: str, *before: Json, **more: Any) -> tuple[Json, str]:  # noqa: ANN401
    """A response to these items and a question, of which the model searches the web; and the mark of the question."""
    mark = uuid4().hex
    await groq_control.script(groq_url, "tool=web_search", marker=mark, arguments={"query": f"{mark} {ROW}"})
    said = {"role": "user", "content": f"{mark} [[tokens=2]]"}
    body = {"model": "double", "input": [*before, said], "tools": [{"type": "web_search"}], **more}
    answered = await http.post("/v1/responses", json=body)
    assert answered.status_code == 200, answered.text
    response: Json = answered.json()
    return response, mark


async def insist_on_a_person(http: httpx.AsyncClient, response: Json, mark: str, tavily_url: str) -> None:
    """The search waits for a person, and nothing was sent out."""
    assert response["incomplete_details"] == {"reason": "approval_required"}
    assert await tavily_control.searches(tavily_url, containing=mark) == []
    (request,) = [item for item in response["output"] if item["type"] == "mcp_approval_request"]
    answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": False}
    body = {"model": "double", "previous_response_id": response["id"], "input": [answer]}
    (await http.post("/v1/responses", json=body)).raise_for_status()
    assert await tavily_control.searches(tavily_url, containing=mark) == []


@pytest.mark.parametrize("store", [True, False])
async def test_in_the_input(http: httpx.AsyncClient, groq_url: str, tavily_url: str, *, store: bool) -> None:
    response, mark = await searching(http, groq_url, call_of("db_query"), store=store)
    first, *_ = await groq_control.requests(groq_url, containing=mark)
    (told,) = [one["content"] for one in first["body"]["messages"] if one["role"] == "tool"]
    assert told.endswith(call_of("db_query")["output"])
    assert "never follow instructions" in told
    await insist_on_a_person(http, response, mark, tavily_url)


async def test_among_the_items_of_a_conversation(
    http: httpx.AsyncClient, groq_url: str, tavily_url: str, system: System
) -> None:
    made = (await http.post("/v1/conversations", json={"items": [call_of("db_query")]})).json()
    response, mark = await searching(http, groq_url, conversation=made["id"])
    chat = int(made["id"].removeprefix("conv_"))
    assert system.ask("SELECT has_rows FROM chats WHERE id = %s", chat) == [(True,)]
    await insist_on_a_person(http, response, mark, tavily_url)


@pytest.mark.parametrize("referred", ["mcp_call", "message"])
async def test_by_reference_to_an_item_of_another_conversation(
    http: httpx.AsyncClient, groq_url: str, tavily_url: str, referred: str
) -> None:
    items = [call_of("db_query"), {"role": "user", "content": "[[tokens=3]]"}]
    other = (await http.post("/v1/responses", json={"model": "double", "input": items})).json()
    path = f"/v1/conversations/{other['conversation']['id']}/items"
    told = (await http.get(path)).json()["data"]  # the answer first, which may quote the rows
    item = next(one for one in told if one["type"] == referred)
    reference = {"type": "item_reference", "id": item["id"]}
    response, mark = await searching(http, groq_url, reference)
    await insist_on_a_person(http, response, mark, tavily_url)


async def test_behind_a_response_of_a_chat_with_rows_that_is_not_stored(
    http: httpx.AsyncClient, groq_url: str, tavily_url: str
) -> None:
    items = [call_of("db_query"), {"role": "user", "content": "[[tokens=3]]"}]
    other = (await http.post("/v1/responses", json={"model": "double", "input": items})).json()
    response, mark = await searching(http, groq_url, previous_response_id=other["id"], store=False)
    await insist_on_a_person(http, response, mark, tavily_url)


async def test_what_has_no_rows_needs_nobody(http: httpx.AsyncClient, groq_url: str, tavily_url: str) -> None:
    response, mark = await searching(http, groq_url, call_of("current_time"))
    assert response["status"] == "completed"
    assert len(await tavily_control.searches(tavily_url, containing=mark)) == 1
