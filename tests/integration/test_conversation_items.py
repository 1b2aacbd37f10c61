"""What a conversation has beside plain texts: how much of it is kept and told, its items, references to them. Over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from services.api.doors.openai.responses import item_queries, queries
from services.api.message_pages import Place
from shared.database.engine import Connection, open_database
from shared.database.tables import Message
from shared.database_urls import to_sqlalchemy
from shared.generations.path_rows import load_earlier
from shared.generations.told_path import Earlier
from shared.ids import ChatId, UserId
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
    made = new_system(USER_MESSAGES_PER_MINUTE="0")
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


def large(chars: int = 900_000) -> Json:
    """An item that no model is told."""
    return {"type": "reasoning", "summary": [], "kept": "a" * chars}


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


def words(items: list[Json]) -> list[str]:
    return [item["content"][0]["text"] if item["type"] == "message" else item["type"] for item in items]


async def listed(http: httpx.AsyncClient, conversation: str, order: str = "asc", **query: Any) -> list[Json]:  # noqa: ANN401
    """The items of one page; without a limit, those of all pages."""
    path, items = f"/v1/conversations/{conversation}/items", list[Json]()
    while True:
        found = await http.get(path, params={"order": order, "limit": 100, **query})
        assert found.status_code == 200, found.text
        assert len(found.content) < 2_500_000
        page: Json = found.json()
        items += page["data"]
        if "limit" in query or not page["has_more"]:
            return items
        query["after"] = page["last_id"]


async def begun(http: httpx.AsyncClient, *items: Json) -> str:
    """A conversation that is made with these items."""
    made = await http.post("/v1/conversations", json={"items": list(items)})
    assert made.status_code == 200, made.text
    conversation: str = made.json()["id"]
    return conversation


async def add(http: httpx.AsyncClient, conversation: str, *items: Json) -> list[Json]:
    added = await http.post(f"/v1/conversations/{conversation}/items", json={"items": list(items)})
    assert added.status_code == 200, added.text
    told: Json = added.json()
    assert (told["object"], told["has_more"], len(told["data"])) == ("list", False, len(items))
    assert (told["first_id"], told["last_id"]) == (told["data"][0]["id"], told["data"][-1]["id"])
    return list(told["data"])


async def test_items_wait_for_the_next_response_and_are_taken_once(http: httpx.AsyncClient, groq_url: str) -> None:
    first, second = uuid4().hex, uuid4().hex
    conversation = await begun(http, BRIEF)
    added = await add(http, conversation, says("One."), {"role": "assistant", "content": "Two."})
    waiting = await listed(http, conversation)
    assert words(waiting) == ["Be brief.", "One.", "Two."]
    assert waiting[1:] == added
    response = await created(http, f"{first} [[tokens=2]]", conversation=conversation)
    said = ["Be brief.", "One.", "Two.", f"{first} [[tokens=2]]"]
    assert [content for _, content in await told(groq_url, first)] == said
    await add(http, conversation, says("Three."))
    await created(http, f"{second} [[tokens=1]]", conversation=conversation)
    said += [numbered(2), "Three.", f"{second} [[tokens=1]]"]
    assert [content for _, content in await told(groq_url, second)] == said
    now = await listed(http, conversation)
    assert words(now) == [*said, numbered(1)]
    assert now[:3] == waiting
    given = await http.get(f"/v1/responses/{response['id']}/input_items", params={"order": "asc"})
    assert given.json()["data"] == now[:4]


async def test_items_that_wait_are_told_and_kept_where_nothing_is_stored(
    http: httpx.AsyncClient, groq_url: str
) -> None:
    mark = uuid4().hex
    conversation = await begun(http, BRIEF)
    await created(http, f"{mark} [[tokens=1]]", conversation=conversation, store=False)
    assert [content for _, content in await told(groq_url, mark)] == ["Be brief.", f"{mark} [[tokens=1]]"]
    assert words(await listed(http, conversation)) == ["Be brief."]


async def test_a_request_that_is_refused_takes_no_items(http: httpx.AsyncClient, groq_url: str) -> None:
    gate = uuid4().hex
    conversation = await begun(http, BRIEF)
    body = asked(f"[[tokens=1 hold={gate}]]", conversation=conversation, background=True)
    response = (await http.post("/v1/responses", json=body)).json()
    await add(http, conversation, says("Later."))
    assert (await refused(http, "Now.", 409, conversation=conversation))["code"] == "generation_in_progress"
    assert words(await listed(http, conversation))[-1] == "Later."
    await groq_control.release(groq_url, gate)
    await ResponseReader(http, id=response["id"]).resume()


async def test_a_repeat_takes_nothing_more(http: httpx.AsyncClient) -> None:
    conversation, key = await begun(http, BRIEF), {"Idempotency-Key": uuid4().hex}
    first = (await http.post("/v1/responses", json=asked(conversation=conversation), headers=key)).json()
    await add(http, conversation, says("Later."))
    again = (await http.post("/v1/responses", json=asked(conversation=conversation), headers=key)).json()
    assert again == first
    assert words(await listed(http, conversation))[-1] == "Later."


async def test_items_of_the_path_and_those_that_wait_come_in_pages(http: httpx.AsyncClient) -> None:
    conversation = await begun(http, BRIEF)
    await created(http, "[[tokens=1]]", conversation=conversation)
    await add(http, conversation, says("One."), says("Two."), says("Three."))
    whole = await listed(http, conversation)
    assert words(whole) == ["Be brief.", "[[tokens=1]]", numbered(1), "One.", "Two.", "Three."]
    for order, expected in (("asc", whole), ("desc", whole[::-1])):
        for number in range(len(expected)):
            query = {"order": order, "limit": "2", **({"after": expected[number - 1]["id"]} if number else {})}
            page = (await http.get(f"/v1/conversations/{conversation}/items", params=query)).json()
            assert page["data"] == expected[number : number + 2]
            assert page["has_more"] is (number + 2 < len(expected))
    unknown = await http.get(f"/v1/conversations/{conversation}/items", params={"after": "added_1_900000001"})
    assert unknown.json()["error"]["code"] == "cursor_invalid"


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_end_with_the_last_item_where_all_wait(http: httpx.AsyncClient, order: str) -> None:
    conversation = await begun(http, says("0"), says("1"), says("2"), says("3"), says("4"))
    got, query, has_more = list[str](), {"order": order, "limit": "2"}, True
    while has_more:
        page = (await http.get(f"/v1/conversations/{conversation}/items", params=query)).json()
        got += words(page["data"])
        query["after"], has_more = page["last_id"], page["has_more"]
    assert got == sorted("01234", reverse=order == "desc")


async def test_an_item_is_looked_at_and_deleted_while_it_waits(http: httpx.AsyncClient) -> None:
    conversation = await begun(http, BRIEF)
    one, two = await add(http, conversation, says("One."), says("Two."))
    path = f"/v1/conversations/{conversation}"
    deleted = await http.delete(f"{path}/items/{one['id']}")
    assert deleted.json() == (await http.get(path)).json()
    assert words(await listed(http, conversation)) == ["Be brief.", "Two."]
    await created(http, "[[tokens=1]]", conversation=conversation)
    for item in await listed(http, conversation):
        assert (await http.get(f"{path}/items/{item['id']}")).json() == item
        kept = await http.delete(f"{path}/items/{item['id']}")
        assert (kept.status_code, kept.json()["error"]["code"]) == (409, "item_not_deletable")
    other = await begun(http)
    for gone in (f"{path}/items/{one['id']}", f"/v1/conversations/{other}/items/{two['id']}", f"{path}/items/msg_1"):
        for method in ("GET", "DELETE"):
            absent = await http.request(method, gone)
            assert (absent.status_code, absent.json()["error"]["code"]) == (404, "item_not_found")


async def test_a_call_that_waits_needs_its_output(http: httpx.AsyncClient) -> None:
    conversation = await begun(http, call_of("c1"))
    error = await refused(http, "[[tokens=1]]", conversation=conversation, tools=[WEATHER])
    assert "c1" in error["message"]
    added = await add(http, conversation, output_of("c1"))
    await created(http, "[[tokens=1]]", conversation=conversation, tools=[WEATHER])
    assert added[0] in await listed(http, conversation)


async def test_a_conversation_outlives_its_responses_where_items_wait(http: httpx.AsyncClient) -> None:
    conversation = await begun(http)
    response = await created(http, conversation=conversation)
    await add(http, conversation, says("One."))
    assert (await http.delete(f"/v1/responses/{response['id']}")).status_code == 200
    assert words(await listed(http, conversation)) == ["One."]


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([], "items"),
        ([BRIEF] * 21, "items"),
        ("x", "items"),
        ([BRIEF, {"role": "robot", "content": "x"}], "items[1].role"),
        ([says("a\0")], "items"),
        ([{"type": "item_reference", "id": "msg_1"}], "items[0].type"),
        ([{"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}], "items[0].type"),
        ([output_of("none_such")], "items[0].call_id"),
    ],
)
async def test_items_that_can_not_be_added_are_refused_by_their_place(
    http: httpx.AsyncClient, items: object, param: str
) -> None:
    conversation = await begun(http)
    answered = await http.post(f"/v1/conversations/{conversation}/items", json={"items": items})
    assert (answered.status_code, answered.json()["error"]["param"]) == (400, param), answered.text
    assert await listed(http, conversation) == []
    if items:
        made = await http.post("/v1/conversations", json={"items": items})
        assert (made.status_code, made.json()["error"]["param"]) == (400, param), made.text


async def test_no_more_than_so_much_waits(http: httpx.AsyncClient) -> None:
    conversation = await begun(http)
    for _ in range(5):
        await add(http, conversation, *[BRIEF] * 20)
    path = f"/v1/conversations/{conversation}/items"
    full = await http.post(path, json={"items": [BRIEF]})
    assert (full.status_code, full.json()["error"]["param"]) == (400, "items")
    assert len(await listed(http, conversation)) == 100


async def test_no_more_characters_wait_than_a_model_may_be_told(http: httpx.AsyncClient) -> None:
    conversation = await begun(http, large())
    await add(http, conversation, large())
    full = await http.post(f"/v1/conversations/{conversation}/items", json={"items": [large()]})
    assert (full.status_code, full.json()["error"]["param"]) == (400, "items")
    assert len(await listed(http, conversation)) == 2


async def test_items_are_added_as_often_as_messages_are_sent(system: System) -> None:
    _, url = await system.start_api(USER_MESSAGES_PER_MINUTE="2")
    async with logged_in(url) as client:
        key = by_key((await made_key(client, "chat"))["key"])
        made = await client.http.post("/v1/conversations", json={"items": [BRIEF]}, headers=key)
        items = f"/v1/conversations/{made.json()['id']}/items"
        for path, statuses in ((items, [200, 429]), ("/v1/conversations", [429])):
            answers = [await client.http.post(path, json={"items": [BRIEF]}, headers=key) for _ in statuses]
            assert [answer.status_code for answer in answers] == statuses
            assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"


def refers(item: Json) -> Json:
    return {"type": "item_reference", "id": item["id"]}


async def test_an_input_goes_on_with_items_that_it_refers_to(http: httpx.AsyncClient, groq_url: str) -> None:
    mark = uuid4().hex
    first = await created(http, "[[tokens=2 tool=weather query=Rome]]", tools=[WEATHER])
    (call,) = [item for item in first["output"] if item["type"] == "function_call"]
    (waits,) = await add(http, await begun(http), says("It waits."))
    given = [refers(waits), {"id": call["id"]}, output_of(call["call_id"]), says(f"{mark} [[tokens=1]]")]
    key = {"Idempotency-Key": uuid4().hex}
    body = asked(given, tools=[WEATHER])
    second = (await http.post("/v1/responses", json=body, headers=key)).json()
    assert second["status"] == "completed", second
    assert await told(groq_url, mark) == [
        ("user", "It waits."),
        ("assistant", ""),
        ("tool", "Sunny."),
        ("user", f"{mark} [[tokens=1]]"),
    ]
    assert words(await listed(http, second["conversation"]["id"]))[:4] == [
        "It waits.",
        "function_call",
        "function_call_output",
        f"{mark} [[tokens=1]]",
    ]
    assert (await http.delete(f"/v1/responses/{first['id']}")).status_code == 200
    assert (await http.post("/v1/responses", json=body, headers=key)).json() == second
    error = await refused(http, given, 404, tools=[WEATHER])
    assert (error["code"], error["param"]) == ("item_not_found", "input[1].id")


async def test_a_reference_to_what_is_told_anyway_is_refused(http: httpx.AsyncClient) -> None:
    conversation = await begun(http, BRIEF)
    (waits,) = await listed(http, conversation)
    response = await created(http, [says("One."), says("Two. [[tokens=1]]")], conversation=conversation)
    (added,) = await add(http, conversation, says("Three."))
    for item in (waits, response["output"][0], added):
        error = await refused(http, [refers(item), says("Now.")], conversation=conversation)
        assert error["param"] == "input[0].id"


async def test_a_second_output_of_a_call_by_a_reference_is_refused(http: httpx.AsyncClient) -> None:
    first = await created(http, "[[tokens=2 tool=weather query=Rome]]", tools=[WEATHER])
    (call,) = [item for item in first["output"] if item["type"] == "function_call"]
    made = {key: call[key] for key in ("type", "call_id", "name", "arguments")}
    _, output = await add(http, await begun(http), made, output_of(call["call_id"]))
    given = [made, refers(output), output_of(call["call_id"]), says("Now.")]
    error = await refused(http, given, tools=[WEATHER])
    assert error["param"] == "input[2].call_id"


async def test_what_another_has_can_not_be_referred_to(http: httpx.AsyncClient, url: str) -> None:
    conversation = await begun(http, BRIEF)
    await created(http, "[[tokens=1]]", conversation=conversation)
    (waits,) = await add(http, conversation, says("One."))
    hidden = await created(http, "[[tokens=1]]", store=False)
    items = await listed(http, conversation)
    async with logged_in(url) as other:
        missing = await refused(other.http, [{"type": "item_reference", "id": "msg_900000001"}], 404)
        assert missing["param"] == "input[0].id"
        for item in [*items, waits, hidden["output"][0]]:
            assert await refused(other.http, [refers(item)], 404) == missing
    assert await refused(http, [refers(hidden["output"][0])], 404) == missing


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    database = open_database(to_sqlalchemy(url), pool_size=1)
    try:
        async with database.connect() as db:
            yield db
    finally:
        await database.dispose()


def owner_of(url: str, chat: int) -> UserId:
    ((owner,),) = execute(url, "SELECT user_id FROM chats WHERE id = %s", chat)
    return UserId(int(str(owner)))


async def test_an_input_names_each_item_once_and_only_so_many(http: httpx.AsyncClient) -> None:
    (waits,) = await add(http, await begun(http), large())
    error = await refused(http, [refers(waits), refers(waits), says("Now.")])
    assert error["param"] == "input[1].id"
    error = await refused(http, [{"id": f"msg_{number}"} for number in range(1, 102)])
    assert (error["param"], "at most 100" in error["message"]) == ("input", True)


async def test_what_an_input_refers_to_is_bounded_together(http: httpx.AsyncClient, database_url: str) -> None:
    waiting = [(await add(http, await begun(http), large()))[0] for _ in range(3)]
    error = await refused(http, [*map(refers, waiting), says("Now.")])
    assert error["param"] == "input"
    conversation = await begun(http)
    for _ in range(5):
        await created(http, [large(), says("[[tokens=1]]")], conversation=conversation)
    chat = int(conversation.removeprefix("conv_"))
    found = execute(database_url, "SELECT id FROM messages WHERE chat_id = %s AND role = 'user'", chat)
    for ids in ([f"msg_{one}" for (one,) in found[:3]], [f"in_{one}_1" for (one,) in found]):
        error = await refused(http, [*({"id": one} for one in ids), says("Now.")])
        assert (error["param"], "too long" in error["message"]) == ("input", True)
    await created(http, [{"id": f"in_{found[0][0]}_1"}, {"id": f"msg_{found[1][0]}"}, says("[[tokens=1]]")])
    owner = owner_of(database_url, chat)
    async with connected(database_url) as db:
        for place in (Place(), Place(forwards=True)):
            messages, goes_on = await queries.list_conversation(db, owner, ChatId(chat), place, 100)
            assert (sum(message.role == "user" for message in messages), goes_on) == (1, True)
    assert len(await listed(http, conversation)) == 15


async def test_a_page_of_long_items_is_short(http: httpx.AsyncClient, database_url: str) -> None:
    waiting = [large(600_000 + number) for number in range(3)]
    conversation = await begun(http)
    for number in range(3):
        await created(http, [says(f"{number}"), says("[[tokens=1]]")], conversation=conversation)
    chat = int(conversation.removeprefix("conv_"))
    longer = "UPDATE messages SET content = repeat('\U0001f600', 200000) WHERE chat_id = %s AND role = 'assistant'"
    execute(database_url, f"{longer} RETURNING 1", chat)
    for item in waiting:
        await add(http, conversation, item)
    rising = await listed(http, conversation)
    assert [item["type"] for item in rising] == ["message"] * 9 + ["reasoning"] * 3
    assert await listed(http, conversation, "desc") == rising[::-1]
    first = await http.get(f"/v1/conversations/{conversation}/items", params={"order": "desc", "limit": 100})
    assert (len(first.json()["data"]), first.json()["has_more"]) == (1, True)
    for order, expected in (("asc", rising), ("desc", rising[::-1])):
        one_by_one: list[Json] = []
        while len(one_by_one) < len(expected):
            query = {"after": one_by_one[-1]["id"]} if one_by_one else {}
            one_by_one += await listed(http, conversation, order, limit=1, **query)
        assert one_by_one == expected


async def test_many_items_are_looked_for_at_once(http: httpx.AsyncClient, database_url: str) -> None:
    conversation = await begun(http, large())
    (waits,) = await listed(http, conversation)
    await created(http, "[[tokens=1]]", conversation=conversation)
    chat = int(conversation.removeprefix("conv_"))
    owner = owner_of(database_url, chat)
    named = [f"added_{chat}_{number}" for number in range(10**9, 10**9 + 5_000)]
    async with connected(database_url) as db:
        found = await item_queries.find_items(db, owner, [*named, waits["id"]])
    assert list(found) == [waits["id"]]


async def test_a_turn_that_goes_while_a_request_waits_for_it_is_a_conflict(
    http: httpx.AsyncClient, database_url: str
) -> None:
    first = await created(http, [BRIEF, says("One [[tokens=1]]")])
    named = {"conversation": first["conversation"]["id"], "tools": [WEATHER]}
    second = await created(http, "[[tokens=2 tool=weather query=Rome]]", **named)
    (call,) = [item for item in second["output"] if item["type"] == "function_call"]
    chat = chat_of(first)
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("SELECT id FROM chats WHERE id = %s FOR UPDATE", [chat])  # as the deletion of a turn does
        posting = asyncio.create_task(http.post("/v1/responses", json=asked([output_of(call["call_id"])], **named)))
        while execute(database_url, blocked) == [(0,)]:
            assert not posting.done()
            await asyncio.sleep(0.01)
        await other.execute("DELETE FROM generations WHERE id = %s", [second["id"].removeprefix("resp_")])
        await other.execute("DELETE FROM messages WHERE chat_id = %s AND position > 2", [chat])
    answered = await posting
    assert (answered.status_code, answered.json()["error"]["code"]) == (409, "items_changed"), answered.text
    await created(http, "Three. [[tokens=1]]", **named)


async def test_a_result_is_added_to_what_is_too_long_to_be_looked_at(
    http: httpx.AsyncClient, database_url: str
) -> None:
    response = await created(http, "[[tokens=2 tool=weather query=Rome]]", tools=[WEATHER])
    (call,) = [item for item in response["output"] if item["type"] == "function_call"]
    longer = "UPDATE messages SET content = repeat('a', 2000001) WHERE chat_id = %s AND role = 'assistant' RETURNING 1"
    execute(database_url, longer, chat_of(response))
    await add(http, response["conversation"]["id"], output_of(call["call_id"]))
