"""What a conversation has beside plain texts: how much of it is kept and told, its items, references to them. Over HTTP."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.database.engine import open_database
from shared.database.tables import Message
from shared.generations.path_rows import load_earlier
from shared.generations.told_path import Earlier
from shared.ids import ChatId
from tests.conftest import NewSystem
from tests.doubles import groq_control
from tests.support.api_keys import by_key, made_key
from tests.support.clients import NO_TLS, Client, logged_in, numbered
from tests.support.openai_events import ResponseReader
from tests.support.system import System
from tests.support.turns import execute

Json = dict[str, Any]
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {"query": {}}}}
BRIEF = {"role": "developer", "content": "Be brief."}


@pytest.fixture(scope="module")
async def system(new_system: NewSystem) -> AsyncIterator[System]:
    made = new_system(MESSAGES_PER_MINUTE="0")
    yield made
    made.end()


@pytest.fixture(scope="module")
async def url(system: System) -> str:
    _, started = await system.start_api()
    await system.start_worker()
    return started


@pytest.fixture(scope="module")
async def user(url: str) -> AsyncIterator[Client]:
    async with logged_in(url) as made:
        yield made


@pytest.fixture(scope="module")
async def http(user: Client, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A program with an API key."""
    key = (await made_key(user, "chat"))["key"]
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30, headers=by_key(key)) as opened:
        yield opened


@pytest.fixture
def database_url(system: System) -> str:
    return system.database_url or system.env["DATABASE_URL"]


def asked(given: object = "[[tokens=1]]", **more: Any) -> Json:  # noqa: ANN401
    return {"model": "double", "input": given, **more}


def says(text: str) -> Json:
    return {"role": "user", "content": text}


def call_of(call_id: str) -> Json:
    return {"type": "function_call", "call_id": call_id, "name": "weather", "arguments": "{}"}


def output_of(call_id: str, output: str = "Sunny.") -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


async def created(http: httpx.AsyncClient, given: object = "[[tokens=1]]", **more: Any) -> Json:  # noqa: ANN401
    answered = await http.post("/v1/responses", json=asked(given, **more))
    assert answered.status_code == 200, answered.text
    made: Json = answered.json()
    assert made["status"] == "completed", made
    return made


async def refused(http: httpx.AsyncClient, given: object, status: int = 400, **more: Any) -> Json:  # noqa: ANN401
    answered = await http.post("/v1/responses", json=asked(given, **more))
    assert answered.status_code == status, answered.text
    error: Json = answered.json()["error"]
    return error


async def told(groq_url: str, mark: str) -> list[tuple[str, str]]:
    """What the model was told by the one request that has this mark: roles and contents."""
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    return [(one["role"], one["content"] or "") for one in request["body"]["messages"]]


def chat_of(response: Json) -> int:
    return int(response["conversation"]["id"].removeprefix("conv_"))


async def test_each_turn_keeps_its_own_input_alone(http: httpx.AsyncClient, groq_url: str, database_url: str) -> None:
    mark = uuid4().hex
    first = await created(http, [BRIEF, says("One [[tokens=1]]")])
    second = await created(http, "Two [[tokens=2]]", previous_response_id=first["id"])
    await created(http, f"{mark} [[tokens=1]]", conversation=second["conversation"]["id"])
    kept: Any = execute(
        database_url,
        "SELECT parameters->'messages' FROM generations WHERE chat_id = %s ORDER BY created_at",
        chat_of(first),
    )
    assert [[one["content"] for one in messages] for (messages,) in kept] == [
        ["Be brief.", "One [[tokens=1]]"],
        ["Two [[tokens=2]]"],
        [f"{mark} [[tokens=1]]"],
    ]
    assert await told(groq_url, mark) == [
        ("system", "Be brief."),
        ("user", "One [[tokens=1]]"),
        ("assistant", numbered(1)),
        ("user", "Two [[tokens=2]]"),
        ("assistant", numbered(2)),
        ("user", f"{mark} [[tokens=1]]"),
    ]


async def test_a_path_that_was_left_is_told_to_who_goes_on_there(http: httpx.AsyncClient, groq_url: str) -> None:
    mark = uuid4().hex
    first = await created(http, [BRIEF, says("One [[tokens=1]]")])
    left = await created(http, [says("Left."), says("Two [[tokens=2]]")], previous_response_id=first["id"])
    await created(http, "Instead [[tokens=3]]", previous_response_id=first["id"])
    await created(http, f"{mark} [[tokens=1]]", previous_response_id=left["id"])
    assert [content for _, content in await told(groq_url, mark)] == [
        "Be brief.",
        "One [[tokens=1]]",
        numbered(1),
        "Left.",
        "Two [[tokens=2]]",
        numbered(2),
        f"{mark} [[tokens=1]]",
    ]


async def test_a_reply_that_was_made_anew_keeps_the_items_before_it(
    http: httpx.AsyncClient, user: Client, groq_url: str
) -> None:
    mark = uuid4().hex
    first = await created(http, [BRIEF, says("One [[tokens=1]]")])
    chat = chat_of(first)
    (question, _) = await user.messages(chat)
    path = f"/api/chats/{chat}/messages/{question['id']}/regenerate"
    anew = (await user.http.post(path, json={}, headers={"Prefer": "respond-async"})).raise_for_status().json()
    await ResponseReader(http, id=f"resp_{anew['generation']['id'].replace('-', '')}").resume()
    await created(http, f"{mark} [[tokens=1]]", conversation=first["conversation"]["id"])
    assert (await told(groq_url, mark))[0] == ("system", "Be brief.")
    items = (await http.get(f"/v1/conversations/conv_{chat}/items", params={"order": "asc"})).json()["data"]
    assert [item["role"] for item in items[:3]] == ["developer", "user", "assistant"]


@pytest.mark.parametrize("store", [True, False])
async def test_more_than_a_model_may_be_told_is_refused_before_it_is_loaded(
    http: httpx.AsyncClient, database_url: str, store: bool
) -> None:
    first = await created(http, [BRIEF, says("One [[tokens=1]]")])
    messages = """INSERT INTO messages (chat_id, role, content, position, status)
        SELECT %s, CASE number %% 2 WHEN 1 THEN 'user' ELSE 'assistant' END, 'x', 2 + number, 'completed'
        FROM generate_series(1, %s) AS number"""
    execute(database_url, messages, chat_of(first), 2046)
    execute(database_url, "UPDATE chats SET last_position = 2048 WHERE id = %s", chat_of(first))
    error = await refused(http, "[[tokens=1]]", conversation=first["conversation"]["id"], store=store)
    assert error["param"] == "input"
    assert "too long" in error["message"]
    database = open_database(database_url.replace("postgresql://", "postgresql+psycopg://"), pool_size=1)
    async with database.connect() as db:
        assert await load_earlier(db, ChatId(chat_of(first))) == Earlier(is_too_long=True)
        assert len((await load_earlier(db, ChatId(chat_of(first)), Message.position < 2048)).path) == 2047
    await database.dispose()


async def test_a_call_without_its_output_is_refused_until_the_output_comes(http: httpx.AsyncClient) -> None:
    first = await created(http, "[[tokens=2 tool=weather query=Rome]]", tools=[WEATHER])
    (call,) = [item for item in first["output"] if item["type"] == "function_call"]
    place = {"conversation": first["conversation"]["id"], "tools": [WEATHER]}
    for store in (True, False):
        error = await refused(http, [BRIEF, says("Well? [[tokens=1]]")], store=store, **place)
        assert (error["code"], error["param"]) == ("invalid_request", "input")
        assert call["call_id"] in error["message"]
    own = await refused(http, [call_of("none_such_output"), says("Well? [[tokens=1]]")])
    assert "none_such_output" in own["message"]
    second = await created(http, [output_of(call["call_id"]), says("Well? [[tokens=1]]")], **place)
    await created(http, "[[tokens=1]]", previous_response_id=second["id"])
