"""`/v1/responses`: asked for, followed from any place, looked at, cancelled, deleted. Over HTTP, with a worker."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from redis import Redis

from shared.generations.outcome import BROKEN_OFF
from tests.conftest import NewSystem
from tests.doubles import groq_control
from tests.support.api_keys import by_key, made_key
from tests.support.clients import NO_TLS, Client, numbered
from tests.support.feeds import ready_tab
from tests.support.openai_events import Json, ResponseReader
from tests.support.system import System, eventually
from tests.support.turns import execute

OPENING = ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {"query": {}}}}
CLOSING = [
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


@pytest.fixture(scope="module")
async def system(new_system: NewSystem) -> AsyncIterator[System]:
    made = new_system(
        TOOLS="web_search,current_time,chats_delete", USER_MESSAGES_PER_MINUTE="0", GROQ_MODELS="double,double-other"
    )
    yield made
    made.end()


@pytest.fixture(scope="module")
async def url(system: System) -> str:
    _, started = await system.start_api()
    await system.start_worker()
    return started


@pytest.fixture
async def user(url: str) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as opened:
        made = Client(opened)
        await made.sign_up()
        yield made


@pytest.fixture
async def http(user: Client, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A program with an API key."""
    key = (await made_key(user, "chat"))["key"]
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30, headers=by_key(key)) as opened:
        yield opened


def asked(content: str = "[[tokens=5]]", **more: Any) -> Json:  # noqa: ANN401
    return {"model": "double", "input": content, **more}


async def created(http: httpx.AsyncClient, content: str = "[[tokens=5]]", **more: Any) -> Json:  # noqa: ANN401
    answered = await http.post("/v1/responses", json=asked(content, **more))
    assert answered.status_code == 200, answered.text
    made: Json = answered.json()
    return made


def text_of(response: Json) -> str:
    return "".join(part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"])


@pytest.mark.parametrize(("given", "told"), [({}, 0.7), ({"temperature": 0.5}, 0.5)])
async def test_a_response_tells_the_temperature_that_the_model_was_asked_with(
    http: httpx.AsyncClient, groq_url: str, given: Json, told: float
) -> None:
    mark = uuid4().hex
    response = await created(http, input=f"tokens=1 {mark}", **given)
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    assert response["temperature"] == request["body"]["temperature"] == told


@pytest.mark.parametrize(
    ("parameter", "named"),
    [("previous_response_id", "resp_" + "0" * 32), ("previous_response_id", "x"), ("conversation", "conv_1")],
)
async def test_what_a_request_refers_to_and_is_not_there_is_named(
    http: httpx.AsyncClient, parameter: str, named: str
) -> None:
    refused = await http.post("/v1/responses", json=asked(**{parameter: named}))
    assert (refused.status_code, refused.json()["error"]["param"]) == (404, parameter)


async def test_a_response_comes_whole(http: httpx.AsyncClient) -> None:
    response = await created(http, metadata={"a": "b"}, instructions="Be brief.", temperature=0.5)
    assert response["status"] == "completed"
    assert text_of(response) == numbered(5)
    assert (response["object"], response["model"], response["error"]) == ("response", "double", None)
    assert (response["metadata"], response["instructions"], response["temperature"]) == ({"a": "b"}, "Be brief.", 0.5)
    assert response["usage"]["total_tokens"] > 0
    assert response["usage"]["output_tokens"] == 5
    assert (await http.get(f"/v1/responses/{response['id']}")).json() == response


async def test_a_response_comes_as_events(http: httpx.AsyncClient) -> None:
    reader = ResponseReader(http)
    await reader.ask(asked())
    types = [event["type"] for event in reader.events]
    assert types[:4] == OPENING
    assert types[-4:] == CLOSING
    assert set(types[4:-4]) == {"response.output_text.delta"}
    numbers = [event["sequence_number"] for event in reader.events]
    assert numbers[:2] == [0, 1]
    assert all(before < after for before, after in pairwise(numbers))
    assert reader.text == text_of(reader.final) == numbered(5)
    assert reader.final == (await http.get(f"/v1/responses/{reader.id}")).json()


async def test_a_stream_resumes_behind_any_number_live_and_from_the_row(
    http: httpx.AsyncClient, system: System, groq_url: str
) -> None:
    gate = uuid4().hex
    first = ResponseReader(http)
    await first.ask(asked(f"[[tokens=200 hold={gate} after=100]]"), until=60)
    other = ResponseReader(http, id=first.id, number=first.number)
    await groq_control.release(groq_url, gate)
    await other.resume()
    assert first.text + other.text == numbered(200)
    whole = ResponseReader(http, id=first.id)
    await whole.resume()
    assert [*first.events, *other.events] == whole.events
    with Redis.from_url(system.valkey.url) as redis:
        redis.flushall()
    late = ResponseReader(http, id=first.id)
    await late.resume()
    assert late.events == whole.events
    for number in (0, 1, 2, 5, 17, 33, 40, 555, late.number):
        assert number is not None
        rest = ResponseReader(http, id=first.id, number=number)
        await rest.resume()
        assert rest.done
        had = numbered(200)[: max(0, number - 5)]
        assert had + rest.text == numbered(200)
        assert all(event["sequence_number"] > number for event in rest.events)


async def test_a_response_in_the_background_is_told_at_once(http: httpx.AsyncClient, groq_url: str) -> None:
    gate = uuid4().hex
    response = await created(http, f"[[tokens=5 hold={gate}]]", background=True)
    assert response["status"] in {"queued", "in_progress"}
    assert response["background"] is True
    await groq_control.release(groq_url, gate)
    reader = ResponseReader(http, id=response["id"])
    await reader.resume()
    assert text_of(reader.final) == numbered(5)


async def test_a_response_follows_another_and_branches(http: httpx.AsyncClient) -> None:
    first = await created(http, "One [[tokens=1]]")
    second = await created(http, "Two [[tokens=2]]", previous_response_id=first["id"])
    other = await created(http, "Three [[tokens=3]]", previous_response_id=first["id"])
    assert first["conversation"] == second["conversation"] == other["conversation"]
    assert second["previous_response_id"] == first["id"]
    conversation = first["conversation"]["id"]
    items = (await http.get(f"/v1/conversations/{conversation}/items", params={"order": "asc"})).json()
    said = [item["content"][0]["text"] for item in items["data"]]
    assert said == ["One [[tokens=1]]", numbered(1), "Three [[tokens=3]]", numbered(3)]
    back = await created(http, "Four [[tokens=1]]", previous_response_id=second["id"])
    items = (await http.get(f"/v1/conversations/{conversation}/items", params={"order": "asc"})).json()
    said = [item["content"][0]["text"] for item in items["data"]]
    assert said[2:5] == ["Two [[tokens=2]]", numbered(2), "Four [[tokens=1]]"]
    assert text_of(back) == numbered(1)


async def test_a_cancelled_response_keeps_what_was_streamed(http: httpx.AsyncClient, groq_url: str) -> None:
    gate = uuid4().hex
    reader = ResponseReader(http)
    await reader.ask(asked(f"[[tokens=50 hold={gate} after=10]]"), until=20)
    cancelled = (await http.post(f"/v1/responses/{reader.id}/cancel")).json()
    assert cancelled["status"] == "cancelled"
    assert cancelled["receipt"]["status"] == "cancelled"
    assert cancelled["receipt"]["sequence"]
    await reader.resume()
    assert reader.final["status"] == "cancelled"
    assert reader.text == text_of(reader.final) == text_of(cancelled)
    assert reader.final["output"][0]["status"] == "incomplete"
    again = (await http.post(f"/v1/responses/{reader.id}/cancel")).json()
    assert again == cancelled
    await groq_control.release(groq_url, gate)


async def test_an_answer_that_fails_ends_with_its_error(http: httpx.AsyncClient) -> None:
    reader = ResponseReader(http)
    await reader.ask(asked("[[fault=401]]"))
    assert reader.events[-1]["type"] == "response.failed"
    assert reader.final["error"]["code"] == "model_auth_failed"


async def test_a_long_answer_is_incomplete(http: httpx.AsyncClient) -> None:
    response = await created(http, "[[tokens=3 fault=length after=2]]")
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


async def test_reasoning_is_an_item_of_its_own(http: httpx.AsyncClient) -> None:
    response = await created(http, "[[tokens=3 reasoning=4]]")
    kinds = [item["type"] for item in response["output"]]
    assert kinds == ["reasoning", "message"]
    assert response["output"][0]["content"][0]["text"]
    assert text_of(response) == numbered(3)


async def test_a_response_is_deleted(http: httpx.AsyncClient) -> None:
    first = await created(http)
    second = await created(http, previous_response_id=first["id"])
    refused = await http.delete(f"/v1/responses/{first['id']}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "turn_not_last")
    for response in (second, first):
        deleted = (await http.delete(f"/v1/responses/{response['id']}")).json()
        assert deleted == {"id": response["id"], "object": "response", "deleted": True}
        assert (await http.get(f"/v1/responses/{response['id']}")).status_code == 404
    assert (await http.get(f"/v1/conversations/{first['conversation']['id']}")).status_code == 404


async def test_input_items_are_told_again(http: httpx.AsyncClient) -> None:
    history = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]},
        {"role": "user", "content": "[[tokens=2]]"},
    ]
    response = await created(http, input=history)
    assert text_of(response) == numbered(2)
    path = f"/v1/responses/{response['id']}/input_items"
    items = (await http.get(path, params={"order": "asc"})).json()
    assert [(item["role"], item["content"][0]["text"]) for item in items["data"]] == [
        ("developer", "Be brief."),
        ("user", "Hi."),
        ("assistant", "Hello."),
        ("user", "[[tokens=2]]"),
    ]
    page = (await http.get(path, params={"limit": 3})).json()
    assert (page["has_more"], len(page["data"])) == (True, 3)
    rest = (await http.get(path, params={"after": page["last_id"]})).json()
    assert (rest["has_more"], rest["data"]) == (False, items["data"][:1])


async def test_the_model_is_told_what_the_input_has(http: httpx.AsyncClient, groq_url: str) -> None:
    mark = uuid4().hex
    first = await created(
        http,
        instructions="Speak Latin.",
        input=[
            {"role": "user", "content": f"Hi {mark}."},
            {"role": "assistant", "content": "Salve."},
            {"role": "user", "content": "[[tokens=1]]"},
        ],
    )
    await created(http, f"More {mark} [[tokens=1]]", previous_response_id=first["id"], instructions="Speak Greek.")
    *_, captured = await groq_control.requests(groq_url)
    request = captured["body"]
    told = [(message["role"], message["content"]) for message in request["messages"]]
    assert told == [
        ("system", "Speak Greek."),
        ("user", f"Hi {mark}."),
        ("assistant", "Salve."),
        ("user", "[[tokens=1]]"),
        ("assistant", numbered(1)),
        ("user", f"More {mark} [[tokens=1]]"),
    ]


async def test_a_call_of_a_clients_tool_is_returned_and_its_output_taken(
    http: httpx.AsyncClient, groq_url: str
) -> None:
    reader = ResponseReader(http)
    await reader.ask(asked("[[tokens=2 tool=weather query=Rome]]", tools=[WEATHER]))
    (call,) = [item for item in reader.final["output"] if item["type"] == "function_call"]
    assert (reader.final["status"], call["name"], call["status"]) == ("completed", "weather", "completed")
    assert call["arguments"] == '{"query":"Rome"}'
    types = [event["type"] for event in reader.events]
    assert "response.function_call_arguments.done" in types
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "Sunny."}
    second = await created(http, input=[output], previous_response_id=reader.id, tools=[WEATHER])
    assert second["status"] == "completed", second
    *_, captured = await groq_control.requests(groq_url)
    request = captured["body"]
    roles = [message["role"] for message in request["messages"]]
    assert roles[-3:] == ["user", "assistant", "tool"]
    assert request["messages"][-1]["content"] == "Sunny."
    assert request["messages"][-2]["tool_calls"][0]["id"] == call["call_id"]


async def test_a_text_is_not_taken_for_the_output_of_a_call(http: httpx.AsyncClient, groq_url: str) -> None:
    first = await created(http, "[[tokens=1]]")
    conversation, mark = first["conversation"]["id"], uuid4().hex
    calling = await created(http, f"{mark} [[tokens=2 tool=weather]]", conversation=conversation, tools=[WEATHER])
    call = next(item for item in calling["output"] if item["type"] == "function_call")["call_id"]
    for where in ({"conversation": conversation}, {"previous_response_id": calling["id"]}):
        for text in ("Well?", [{"role": "user", "content": "Well?"}]):
            refused = await http.post("/v1/responses", json=asked(**where) | {"input": text})
            assert refused.status_code == 400, refused.text
            assert call in refused.json()["error"]["message"]
            assert refused.json()["error"]["param"] == "input"

    # Where the call is not told, nothing lacks.
    beside = uuid4().hex
    other = await created(http, f"{beside} [[tokens=1]]", previous_response_id=first["id"])
    assert (await created(http, previous_response_id=other["id"]))["status"] == "completed"
    (request,) = await groq_control.requests(groq_url, containing=beside, ended=1)
    assert mark not in str(request["body"])
    answered = await created(http, input=[output_of(call)], previous_response_id=calling["id"])
    assert (await created(http, previous_response_id=answered["id"]))["status"] == "completed"


async def test_a_request_that_is_refused_leaves_no_chat_behind(
    http: httpx.AsyncClient, user: Client, system: System
) -> None:
    mine = (await user.http.get("/api/auth/me")).json()["id"]
    database_url = system.database_url or system.env["DATABASE_URL"]
    async with ready_tab(user) as tab:
        execute(database_url, "UPDATE users SET daily_tokens = 0 WHERE id = %s", mine)
        refused = await http.post("/v1/responses", json=asked(), headers={"Idempotency-Key": uuid4().hex})
        assert refused.json()["error"]["code"] == "insufficient_quota"
        assert system.count("chats", "user_id = %s", mine) == 0
        execute(database_url, "UPDATE users SET daily_tokens = NULL WHERE id = %s", mine)
        response = await created(http)
        first, second = await tab.next(), await tab.next()
    chat = int(response["conversation"]["id"].removeprefix("conv_"))
    assert [one.part["type"] for one in (first, second)] == ["chat.created", "message.accepted"]
    assert first.part["chat_id"] == second.part["chat_id"] == chat


async def test_a_response_that_is_not_stored_is_in_no_conversation(http: httpx.AsyncClient, user: Client) -> None:
    response = await created(http, store=False)
    assert (response["store"], response["conversation"], text_of(response)) == (False, None, numbered(5))
    assert (await user.http.get("/api/chats")).json() == []
    refused = await http.post("/v1/responses", json=asked(previous_response_id=response["id"]))
    assert refused.status_code == 404


@pytest.mark.parametrize("choice", ["required", {"type": "web_search"}])
async def test_a_tool_that_is_insisted_on_and_is_not_on_offer_fails_the_response(
    http: httpx.AsyncClient, groq_url: str, choice: str | Json
) -> None:
    mark, tools = uuid4().hex, [{"type": "web_search"}]  # which no key sets up here
    response = await created(http, f"{mark} [[tokens=1]]", tools=tools, tool_choice=choice)
    assert (response["status"], response["error"]["code"], response["output"]) == ("failed", "model_rejected", [])
    response = await created(http, f"{mark} [[tokens=1]]", tools=tools, tool_choice="auto")
    assert (response["status"], text_of(response)) == ("completed", numbered(1))
    assert len(await groq_control.requests(groq_url, containing=mark)) == 1


async def test_instructions_leave_room_for_the_chat(http: httpx.AsyncClient, groq_url: str) -> None:
    mark = uuid4().hex
    first = await created(http, "Red [[tokens=1]]")
    more = {"previous_response_id": first["id"]}
    short = await created(http, f"{mark} [[tokens=1]]", instructions="word " * 2_000, **more)
    (captured,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    told = [message["content"] for message in captured["body"]["messages"]]
    assert told[1:] == ["Red [[tokens=1]]", numbered(1), f"{mark} [[tokens=1]]"]
    long = await created(http, "[[tokens=1]]", instructions="word " * 30_000, **more)
    assert (short["status"], long["status"]) == ("completed", "failed")
    assert long["error"]["code"] == "context_length_exceeded"


async def test_a_repeated_request_gets_the_same_response(http: httpx.AsyncClient, user: Client) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first, second = [(await http.post("/v1/responses", json=asked(), headers=key)).json() for _ in range(2)]
    assert first == second
    assert len((await user.http.get("/api/chats")).json()) == 1
    reused = await http.post("/v1/responses", json=asked("Another."), headers=key)
    assert reused.json()["error"]["code"] == "idempotency_key_reused"


async def test_what_belongs_to_another_user_is_not_there(http: httpx.AsyncClient, url: str) -> None:
    response = await created(http)
    conversation = response["conversation"]["id"]
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS) as opened:
        other = Client(opened)
        await other.sign_up()
        for method, path in (
            ("GET", f"/v1/responses/{response['id']}"),
            ("GET", f"/v1/responses/{response['id']}?stream=true"),
            ("DELETE", f"/v1/responses/{response['id']}"),
            ("POST", f"/v1/responses/{response['id']}/cancel"),
            ("GET", f"/v1/responses/{response['id']}/input_items"),
            ("GET", f"/v1/conversations/{conversation}"),
            ("GET", f"/v1/conversations/{conversation}/items"),
            ("DELETE", f"/v1/conversations/{conversation}"),
        ):
            answered = await opened.request(method, path)
            assert answered.status_code == 404, (method, path)
            assert answered.json()["error"]["type"] == "invalid_request_error"
        changed = await opened.post(f"/v1/conversations/{conversation}", json={"metadata": {}})
        assert changed.status_code == 404
        for body in (asked(previous_response_id=response["id"]), asked(conversation=conversation)):
            assert (await opened.post("/v1/responses", json=body)).status_code == 404


def call_of(call_id: str) -> Json:
    return {"type": "function_call", "call_id": call_id, "name": "weather", "arguments": "{}"}


def output_of(call_id: str, output: str = "Sunny.") -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


CORTEXAI = {"type": "mcp", "server_label": "cortexai"}
CALL = {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"}
ANSWER = {"type": "mcp_approval_response", "approval_request_id": f"mcpr_{uuid4().hex}", "approve": True}
REFUSED = [
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0].type"),
    ({"input": [{"type": "computer_call_output"}]}, "input[0].type"),
    ({"input": []}, "input"),
    ({"input": 5}, "input"),
    ({"input": "a\0"}, "input"),
    ({"input": [CALL | {"arguments": "[1]"}]}, "input[0].arguments"),
    ({"input": [CALL | {"arguments": "{"}]}, "input[0].arguments"),
    ({"input": [CALL | {"type": "mcp_call", "arguments": "1"}]}, "input[0].arguments"),
    ({"input": [{"role": "user", "content": "a"}, CALL | {"name": "a b"}]}, "input[1].name"),
    ({"input": [CALL | {"call_id": ""}]}, "input[0].call_id"),
    ({"input": [{"role": "user", "content": "a"}, ANSWER]}, "input[0]"),
    ({"input": [{"type": "mcp_approval_request"}, {"role": "user", "content": "a"}, ANSWER]}, "input[1]"),
    ({"input": [ANSWER, {"role": "user", "content": "a"}]}, "input"),
    ({"tool_choice": 5}, "tool_choice"),
    ({"conversation": 5}, "conversation"),
    ({"conversation": {"id": 5}}, "conversation.id"),
    ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": ["user"], "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": [{"type": ["text"], "text": "x"}]}]}, "input[0].content[0].type"),
    ({"input": [{"type": "reasoning", "summary": []}]}, "input"),
    ({"input": [{"role": "user", "content": "x"}, output_of("none_such")]}, "input[1].call_id"),
    ({"input": [output_of("later"), call_of("later")]}, "input[0].call_id"),
    ({"input": [call_of("c"), output_of("c"), output_of("c", "Rainy.")]}, "input[2].call_id"),
    ({"input": [*(call_of(f"c{number}") for number in range(129))]}, "input"),
    ({"input": "x" * 40_000}, "input"),
    ({"tools": [{"type": "function", "name": "f", "parameters": {"maximum": 2**64}}]}, "tools.0"),
    ({"text": {"format": {"type": "json_schema", "schema": {"maximum": 2**64}}}}, "text.format.schema"),
    ({"tools": [{"type": "code_interpreter"}]}, "tools[0].type"),
    ({"tools": [{"type": "mcp", "server_label": "other", "server_url": "https://e.org"}]}, "tools[0].server_label"),
    ({"tools": [{"type": "web_search", "filters": {"allowed_domains": ["e.org"]}}]}, "tools[0].filters"),
    ({"tools": [{"type": "web_search", "user_location": {"type": "approximate"}}]}, "tools[0].user_location"),
    ({"tools": [{"type": "web_search", "search_context_size": "high"}]}, "tools[0].search_context_size"),
    ({"tools": [{"type": "web_search", "wish": 1}]}, "tools[0].wish"),
    ({"tools": [WEATHER | {"wish": 1}]}, "tools[0].wish"),
    ({"tools": [WEATHER, {"type": "function"}]}, "tools[1].name"),
    ({"tools": [CORTEXAI | {"require_approval": "never"}]}, "tools[0].require_approval"),
    ({"tools": [CORTEXAI | {"require_approval": "always"}]}, "tools[0].require_approval"),
    (
        {"tools": [CORTEXAI | {"require_approval": {"never": {"tool_names": ["chats_delete"]}}}]},
        "tools[0].require_approval",
    ),
    ({"tools": [CORTEXAI | {"authorization": "Bearer x"}]}, "tools[0].authorization"),
    ({"tools": [CORTEXAI | {"allowed_tools": {"read_only": True}}]}, "tools[0].allowed_tools.read_only"),
    ({"tool_choice": {"type": "function", "name": "none_such"}}, "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
    ({"text": {"format": {"type": "json_schema", "name": "a b", "schema": {}}}}, "text.format.name"),
    ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
    ({"text": {"verbosity": "low"}}, "text.verbosity"),
    ({"reasoning": {"summary": "detailed"}}, "reasoning.summary"),
    ({"reasoning": {"effort": "low"}}, "reasoning.effort"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"prompt": {"id": "p"}}, "prompt"),
    ({"max_tool_calls": 3}, "max_tool_calls"),
    ({"service_tier": "flex"}, "service_tier"),
    ({"include": ["message.output_text.logprobs"]}, "include[0]"),
    ({"background": True, "store": False}, "background"),
    ({"temperature": 3}, "temperature"),
    ({"wishes": 1}, "wishes"),
    ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
    ({"previous_response_id": "resp_x", "conversation": "conv_1"}, "conversation"),
]


@pytest.mark.parametrize(("more", "param"), REFUSED)
async def test_what_is_not_supported_is_refused_by_name(http: httpx.AsyncClient, more: Json, param: str) -> None:
    refused = await http.post("/v1/responses", json={**asked(), **more})
    assert refused.status_code == 400, refused.text
    assert refused.json()["error"]["param"] == param
    assert refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "member",
    [
        '"tools": [{"type": "function", "name": "f", "parameters": {"maximum": 1e400}}]',
        '"tools": [{"type": "web_search", "x": -1e400}]',
        '"tool_choice": {"type": "function", "name": "f", "x": 1e400}',
        '"input": [{"type": "reasoning", "x": 1e400}, {"role": "user", "content": "Hi."}]',
    ],
)
async def test_a_number_without_bounds_is_refused(http: httpx.AsyncClient, member: str) -> None:
    said = "" if member.startswith('"input"') else '"input": "Hi.", '
    headers = {"Content-Type": "application/json"}
    refused = await http.post("/v1/responses", content=f'{{"model": "double", {said}{member}}}', headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "validation_failed"), refused.text


async def test_what_can_not_be_included_is_refused_in_queries_too(http: httpx.AsyncClient) -> None:
    response = await created(http, "[[tokens=1]]")
    items = f"/v1/conversations/{response['conversation']['id']}/items"
    for path in (
        f"/v1/responses/{response['id']}",
        f"/v1/responses/{response['id']}/input_items",
        items,
        f"{items}/{response['output'][0]['id']}",
    ):
        known = {"include[]": ["web_search_call.action.sources", "web_search_call.results"]}
        assert (await http.get(path, params=known)).status_code == 200
        unknown = {"include[]": ["web_search_call.results", "message.output_text.logprobs"]}
        refused = await http.get(path, params=unknown)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "include[1]"), refused.text


async def test_a_call_may_be_made_again_under_its_id(http: httpx.AsyncClient) -> None:
    twice = [call_of("c"), output_of("c"), call_of("c"), output_of("c", "Rainy."), {"role": "user", "content": "Well?"}]
    assert (await created(http, input=twice))["status"] == "completed"


async def test_calls_that_were_made_at_once_are_told_as_one_message(http: httpx.AsyncClient, groq_url: str) -> None:
    mark = uuid4().hex
    history = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "I look."},
        call_of("c1"),
        {"type": "reasoning", "id": "r", "summary": []},
        call_of("c2"),
        {"role": "assistant", "content": "And wait."},
        output_of("c2", "Rain."),
        {"role": "user", "content": f"{mark} [[tokens=1]]"},
        output_of("c1", "Snow."),
    ]
    response = await created(http, input=history, tools=[WEATHER])
    assert response["status"] == "completed", response
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    told = request["body"]["messages"]
    assert [message["role"] for message in told] == ["user", "assistant", "tool", "tool", "user"]
    assert told[1]["content"] == "I look.\n\nAnd wait."
    assert [call["id"] for call in told[1]["tool_calls"]] == ["c1", "c2"]
    assert [(one["tool_call_id"], one["content"]) for one in told[2:4]] == [("c2", "Rain."), ("c1", "Snow.")]


async def test_a_result_of_no_call_harms_no_conversation(http: httpx.AsyncClient) -> None:
    conversation = (await http.post("/v1/conversations", json={})).json()["id"]
    refused = await http.post("/v1/responses", json=asked(input=[output_of("none_such")], conversation=conversation))
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, "input[0].call_id")
    after = await created(http, "[[tokens=1]]", conversation=conversation)
    assert after["status"] == "completed"


@pytest.mark.parametrize("store", [True, False])
async def test_what_the_user_took_back_is_told_no_more(
    http: httpx.AsyncClient, system: System, groq_url: str, store: bool
) -> None:
    mark = uuid4().hex
    items = [
        {"role": "developer", "content": "Be brief."},
        {**call_of("c"), "arguments": '{"query": "Fernhill", "code": 90210}'},
        output_of("c", "Fernhill, 90210: sunny."),
        {"role": "user", "content": "I live in Fernhill. [[tokens=1]]"},
    ]
    first = await created(http, input=items, tools=[WEATHER])
    chat = int(first["conversation"]["id"].removeprefix("conv_"))
    forgotten = """INSERT INTO memory_facts (user_id, chat_id, position, kind, value, text, source, forgotten_at,
        forgotten_position, forgotten_by) SELECT user_id, id, 1, 'identity', %s, 'x', 'user', now(), 1, 'user'
        FROM chats WHERE id = %s"""
    for value in ("Fernhill", "90210"):
        execute(system.database_url or system.env["DATABASE_URL"], forgotten, value, chat)
    said = f"Fernhill {mark} [[tokens=1]]"
    await created(http, said, previous_response_id=first["id"], tools=[WEATHER], store=store)
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    told = request["body"]["messages"]
    assert [one["content"] for one in told if one["content"]] == [
        "Be brief.",
        "[forgotten], [forgotten]: sunny.",
        "I live in [forgotten]. [[tokens=1]]",
        numbered(1),
        said,
    ]
    assert told[1]["tool_calls"][0]["function"]["arguments"] == "{}"


async def test_an_answer_that_was_stopped_is_told_as_one(http: httpx.AsyncClient, groq_url: str) -> None:
    mark, gate = uuid4().hex, uuid4().hex
    said = f"[[tokens=50 hold={gate} after=10]]"
    reader = ResponseReader(http)
    await reader.ask(
        asked(input=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": said}]), until=20
    )
    stopped = (await http.post(f"/v1/responses/{reader.id}/cancel")).json()
    await groq_control.release(groq_url, gate)
    await created(http, f"{mark} [[tokens=1]]", previous_response_id=reader.id)
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    assert request["body"]["messages"][2]["content"] == f"{text_of(stopped)}\n\n{BROKEN_OFF}"


async def test_long_results_of_calls_are_taken(http: httpx.AsyncClient) -> None:
    first = await created(http, "[[tokens=2 tool=weather query=Rome]]", tools=[WEATHER])
    (call,) = [item for item in first["output"] if item["type"] == "function_call"]
    output = output_of(call["call_id"], "x" * 40_000)
    second = await created(http, input=[output], previous_response_id=first["id"], tools=[WEATHER])
    assert second["status"] == "completed", second


@pytest.mark.parametrize("more", [{}, {"store": False}], ids=["stored", "not stored"])
async def test_a_repeated_request_in_a_conversation_that_has_items_gets_the_same_response(
    http: httpx.AsyncClient, more: Json
) -> None:
    conversation, other = [(await http.post("/v1/conversations", json={})).json()["id"] for _ in range(2)]
    items = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "[[tokens=2]]"}]
    key = {"Idempotency-Key": uuid4().hex}
    body = asked(input=items, conversation=conversation, **more)
    first = (await http.post("/v1/responses", json=body, headers=key)).json()
    await created(http, "[[tokens=1]]", conversation=conversation)
    second = (await http.post("/v1/responses", json=body, headers=key)).json()
    assert first == second
    elsewhere = await http.post("/v1/responses", json={**body, "conversation": other}, headers=key)
    assert elsewhere.json()["error"]["code"] == "idempotency_key_reused"


async def test_a_plain_request_is_repeated_after_its_conversation_got_items(http: httpx.AsyncClient) -> None:
    first = await created(http, "[[tokens=1]]")
    key = {"Idempotency-Key": uuid4().hex}
    body = asked("[[tokens=2]]", conversation=first["conversation"]["id"])
    second = (await http.post("/v1/responses", json=body, headers=key)).json()
    items = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "[[tokens=1]]"}]
    await created(http, input=items, conversation=first["conversation"]["id"])
    assert (await http.post("/v1/responses", json=body, headers=key)).json() == second


@pytest.mark.parametrize("place", ["conversation", "previous_response_id"])
@pytest.mark.parametrize("store", [True, False])
async def test_a_repeat_gets_its_first_response_though_its_conversation_is_too_long_now(
    http: httpx.AsyncClient, system: System, place: str, store: bool
) -> None:
    items = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "[[tokens=2]]"}]
    first = await created(http, input=items)
    named = first["conversation"]["id"] if place == "conversation" else first["id"]
    key = {"Idempotency-Key": uuid4().hex}
    body = asked(input=items, store=store, **{place: named})
    second = (await http.post("/v1/responses", json=body, headers=key)).json()
    assert second["status"] == "completed", second
    database_url = system.database_url or system.env["DATABASE_URL"]
    longer = "UPDATE messages SET content = repeat('x', 1999999) WHERE chat_id = %s AND position = 2"
    execute(database_url, longer, int(first["conversation"]["id"].removeprefix("conv_")))
    assert (await http.post("/v1/responses", json=body)).status_code == 400
    repeated = await http.post("/v1/responses", json=body, headers=key)
    assert (repeated.status_code, repeated.json()) == (200, second)
    other = await http.post("/v1/responses", json=body | {"input": "Another."}, headers=key)
    assert other.json()["error"]["code"] == "idempotency_key_reused"


async def test_a_repeat_gets_its_first_response_though_its_conversation_is_gone(http: httpx.AsyncClient) -> None:
    first = await created(http, "[[tokens=1]]")
    conversation = first["conversation"]["id"]
    key = {"Idempotency-Key": uuid4().hex}
    body = asked("[[tokens=2]]", conversation=conversation, store=False)
    second = (await http.post("/v1/responses", json=body, headers=key)).json()
    assert (await http.delete(f"/v1/conversations/{conversation}")).status_code == 200
    assert (await http.post("/v1/responses", json=body)).status_code == 404
    assert (await http.post("/v1/responses", json=body, headers=key)).json() == second


async def test_what_asks_for_nothing_is_not_passed_on(http: httpx.AsyncClient, groq_url: str) -> None:
    mark = uuid4().hex
    await created(
        http,
        f"{mark} [[tokens=1]]",
        presence_penalty=0,
        frequency_penalty=0,
        tools=[{"type": "function", "name": "bell"}],
        tool_choice="auto",
    )
    *_, captured = await groq_control.requests(groq_url, containing=mark, ended=1)
    assert not {"presence_penalty", "frequency_penalty"} & captured["body"].keys()
    assert captured["body"]["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}
    await created(http, f"{mark} [[tokens=1]]", tool_choice="none", parallel_tool_calls=False)
    *_, captured = await groq_control.requests(groq_url, containing=mark, ended=2)
    assert not {"tool_choice", "parallel_tool_calls", "tools"} & captured["body"].keys()


async def test_approvals_are_asked_for_as_they_happen(http: httpx.AsyncClient) -> None:
    for tool in (
        {"allowed_tools": ["chats_delete"], "require_approval": "always"},
        {"allowed_tools": {"tool_names": ["current_time"]}, "require_approval": "never"},
        {"require_approval": {"always": {"tool_names": ["chats_delete"]}, "never": {"tool_names": ["current_time"]}}},
    ):
        assert (await created(http, "[[tokens=1]]", tools=[CORTEXAI | tool]))["status"] == "completed"


async def test_a_request_without_a_model_is_refused(http: httpx.AsyncClient) -> None:
    refused = await http.post("/v1/responses", json={"input": "Hi."})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "model")


async def test_a_conversation_has_what_was_said_in_it(http: httpx.AsyncClient, user: Client) -> None:
    conversation = (await http.post("/v1/conversations", json={"metadata": {"a": "b"}})).json()
    assert conversation["object"] == "conversation"
    assert (await http.get(f"/v1/conversations/{conversation['id']}")).json() == conversation
    changed = (await http.post(f"/v1/conversations/{conversation['id']}", json={"metadata": {"c": "d"}})).json()
    assert changed == {**conversation, "metadata": {"c": "d"}}
    responses = [await created(http, f"[[tokens={n}]]", conversation=conversation["id"]) for n in (1, 2, 3)]
    path = f"/v1/conversations/{conversation['id']}/items"
    whole = (await http.get(path, params={"order": "asc"})).json()["data"]
    texts = [item["content"][0]["text"] for item in whole]
    assert texts == ["[[tokens=1]]", numbered(1), "[[tokens=2]]", numbered(2), "[[tokens=3]]", numbered(3)]
    assert whole[1] == responses[0]["output"][0]
    for order in ("asc", "desc"):
        paged, after = list[Json](), None
        while True:
            query = {"order": order, "limit": 2, **({"after": after} if after else {})}
            page = (await http.get(path, params=query)).json()
            paged += page["data"]
            after = page["last_id"]
            if not page["has_more"]:
                break
        assert paged == (whole if order == "asc" else whole[::-1])
    assert (await user.http.get("/api/chats")).json()[0]["id"] == int(conversation["id"].removeprefix("conv_"))
    deleted = (await http.delete(f"/v1/conversations/{conversation['id']}")).json()
    assert deleted == {"id": conversation["id"], "object": "conversation.deleted", "deleted": True}
    for gone in (f"/v1/conversations/{conversation['id']}", f"/v1/responses/{responses[0]['id']}"):
        assert (await http.get(gone)).status_code == 404


async def test_two_requests_in_one_conversation_do_not_mix(http: httpx.AsyncClient, groq_url: str) -> None:
    gate = uuid4().hex
    response = await created(http, f"[[tokens=5 hold={gate}]]", background=True)
    refused = await http.post("/v1/responses", json=asked(conversation=response["conversation"]["id"]))
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "generation_in_progress")
    await groq_control.release(groq_url, gate)


async def test_an_answer_of_another_door_is_a_response_too(http: httpx.AsyncClient, user: Client) -> None:
    chat = await user.new_chat()
    accepted = (await user.post_async(chat, "[[tokens=4]]")).raise_for_status().json()
    reader = ResponseReader(http, id=f"resp_{accepted['generation']['id'].replace('-', '')}")
    await reader.resume()
    assert text_of(reader.final) == numbered(4)
    assert reader.final["conversation"] == {"id": f"conv_{chat}"}


async def test_many_read_one_response_at_once(http: httpx.AsyncClient) -> None:
    first = ResponseReader(http)
    await first.ask(asked("[[tokens=100 rate=200]]"), until=5)
    others = [ResponseReader(http, id=first.id) for _ in range(10)]
    await asyncio.gather(*(other.resume() for other in others))
    assert all(other.events == others[0].events for other in others)
    assert others[0].text == numbered(100)


OWN_TOOLS = [{"type": "mcp", "server_label": "cortexai", "allowed_tools": ["chats_delete"]}]


async def asked_to_delete(user: Client, groq_url: str) -> tuple[int, Json]:
    """A chat, and a request whose answer proposes to delete that."""
    chat, mark = await user.new_chat(), uuid4().hex
    await groq_control.script(groq_url, "tool=chats_delete after=2", marker=mark, arguments={"chats": [chat]})
    return chat, asked(f"{mark} [[tokens=4]]", tools=OWN_TOOLS)


def answer_to(response: Json, *, approve: bool, **more: Any) -> Json:  # noqa: ANN401
    (request,) = [item for item in response["output"] if item["type"] == "mcp_approval_request"]
    answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": approve}
    return asked(previous_response_id=response["id"], **more) | {"input": [answer]}


@pytest.mark.parametrize("approve", [True, False])
async def test_a_response_that_asks_for_approval_ends_and_goes_on(
    http: httpx.AsyncClient, user: Client, groq_url: str, *, approve: bool
) -> None:
    chat, request = await asked_to_delete(user, groq_url)
    first = ResponseReader(http)
    await first.ask(request)
    asked_for = first.final
    assert (asked_for["status"], asked_for["incomplete_details"]) == ("incomplete", {"reason": "approval_required"})
    assert [item["type"] for item in asked_for["output"]] == ["message", "mcp_call", "mcp_approval_request"]
    assert (await http.get(f"/v1/responses/{first.id}")).json()["incomplete_details"] == {"reason": "approval_required"}
    waiting = ResponseReader(http, id=first.id)
    await waiting.resume()
    assert waiting.events == first.events

    second = ResponseReader(http)
    await second.ask(answer_to(asked_for, approve=approve))
    assert second.id == first.id
    assert [event["sequence_number"] for event in second.events[:2]] == [0, 1]
    assert second.events[0]["response"]["output"] == asked_for["output"]
    assert second.final["status"] == "completed"
    assert [item["type"] for item in second.final["output"]] == [
        "message",
        "mcp_call",
        "mcp_approval_request",
        "message",
    ]
    call = second.final["output"][1]
    assert call["status"] == ("completed" if approve else "failed")
    assert call["approval_request_id"] == second.final["output"][2]["id"]
    chats = [one["id"] for one in (await user.http.get("/api/chats")).json()]
    assert (chat in chats) is not approve

    whole = ResponseReader(http, id=first.id)
    await whole.resume()
    assert whole.events == [*first.events[:-1], *second.events[2:]]
    rest = ResponseReader(http, id=first.id, number=first.number)
    await rest.resume()
    assert rest.events == second.events[2:]


async def test_a_decision_without_a_stream_waits_for_the_end(
    http: httpx.AsyncClient, user: Client, groq_url: str
) -> None:
    _, request = await asked_to_delete(user, groq_url)
    asked_for = (await http.post("/v1/responses", json=request)).json()
    assert asked_for["incomplete_details"] == {"reason": "approval_required"}
    answered = (await http.post("/v1/responses", json=answer_to(asked_for, approve=True))).json()
    assert (answered["id"], answered["status"]) == (asked_for["id"], "completed")
    again = (await http.post("/v1/responses", json=answer_to(asked_for, approve=True))).json()
    assert again == answered


async def test_what_a_hidden_chat_proposes_is_listed_without_the_chat_and_decided_here(
    http: httpx.AsyncClient, user: Client, groq_url: str
) -> None:
    chat, request = await asked_to_delete(user, groq_url)
    async with ready_tab(user) as tab:
        asked_for = (await http.post("/v1/responses", json=request | {"store": False})).json()
        assert asked_for["incomplete_details"] == {"reason": "approval_required"}
        *_, told = await tab.until("operation.changed", status="proposed")
    (listed,) = (await user.http.get("/api/operations", params={"status": "proposed"})).json()
    assert told.part["operation_id"] == listed["id"]
    assert told.part["chat_id"] is listed["chat_id"] is None
    assert (await user.http.get(f"/api/generations/{listed['generation_id']}")).status_code == 200
    answered = (await http.post("/v1/responses", json=answer_to(asked_for, approve=True, store=False))).json()
    assert (answered["id"], answered["status"]) == (asked_for["id"], "completed")
    assert chat not in [one["id"] for one in (await user.http.get("/api/chats")).json()]


async def test_a_page_of_items_may_end_at_a_request_for_approval(
    http: httpx.AsyncClient, user: Client, groq_url: str
) -> None:
    _, request = await asked_to_delete(user, groq_url)
    asked_for = (await http.post("/v1/responses", json=request)).json()
    await http.post("/v1/responses", json=answer_to(asked_for, approve=False))
    path = f"/v1/conversations/{asked_for['conversation']['id']}/items"
    whole = [item["id"] for item in (await http.get(path, params={"order": "asc"})).json()["data"]]
    assert any(item.startswith("mcpr_") for item in whole)
    for order, expected in (("asc", whole), ("desc", whole[::-1])):
        for number, item in enumerate(expected, 1):
            page = await http.get(path, params={"order": order, "after": item})
            assert [one["id"] for one in page.json()["data"]] == expected[number:]
    unknown = await http.get(path, params={"after": f"mcpr_{uuid4().hex}"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "cursor_invalid")


async def test_a_decision_may_have_copies_before_it(http: httpx.AsyncClient, user: Client, groq_url: str) -> None:
    _, request = await asked_to_delete(user, groq_url)
    asked_for = (await http.post("/v1/responses", json=request)).json()
    answer = answer_to(asked_for, approve=False)
    copies = [{"role": "user", "content": request["input"]}, *asked_for["output"]]
    answered = await http.post("/v1/responses", json={**answer, "input": [*copies, *answer["input"]]})
    assert (answered.status_code, answered.json()["id"]) == (200, asked_for["id"]), answered.text


OTHERWISE: list[tuple[Json, int, str]] = [
    ({"tools": [{"type": "file_search"}]}, 400, "tools[0].type"),
    ({"tools": [*OWN_TOOLS, WEATHER]}, 400, "tools"),
    ({"tool_choice": "none"}, 400, "tool_choice"),
    ({"model": "none-such"}, 404, "model"),
    ({"model": "double-other"}, 400, "model"),
    ({"conversation": "conv_1", "previous_response_id": None}, 404, "conversation"),
    ({"previous_response_id": f"resp_{uuid4().hex}"}, 404, "previous_response_id"),
    ({"instructions": "Be long."}, 400, "instructions"),
    ({"max_output_tokens": 6}, 400, "max_output_tokens"),
    ({"temperature": 0.1}, 400, "temperature"),
    ({"metadata": {"a": "c"}}, 400, "metadata"),
    ({"store": False}, 400, "store"),
    ({"text": {"format": {"type": "json_object"}}}, 400, "text.format"),
    ({"prompt": {"id": "p"}}, 400, "prompt"),
]


async def test_a_decision_that_asks_for_something_else_decides_nothing(
    http: httpx.AsyncClient, user: Client, groq_url: str
) -> None:
    _, request = await asked_to_delete(user, groq_url)
    same: Json = {"instructions": "Be brief.", "metadata": {"a": "b"}, "max_output_tokens": 900, "temperature": 0.3}
    asked_for = (await http.post("/v1/responses", json=request | same)).json()
    for more, status, param in OTHERWISE:
        refused = await http.post("/v1/responses", json=answer_to(asked_for, approve=True) | more)
        assert (refused.status_code, refused.json()["error"]["param"]) == (status, param), refused.text
    elsewhere = await created(http)
    for other in (
        {"previous_response_id": elsewhere["id"]},
        {"previous_response_id": None, "conversation": elsewhere["conversation"]["id"]},
    ):
        refused = await http.post("/v1/responses", json=answer_to(asked_for, approve=True) | other)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "approval_not_pending")
    (listed,) = (await user.http.get("/api/operations")).json()
    assert listed["status"] == "proposed"

    sent_again: Json = {**same, "tools": OWN_TOOLS, "tool_choice": "auto", "parallel_tool_calls": True, "store": True}
    of_conversation: Json = {"previous_response_id": None, "conversation": asked_for["conversation"]["id"]}
    for more in (sent_again, {"top_p": 1, "temperature": 0.7, "tools": None} | of_conversation):
        answered = await http.post("/v1/responses", json=answer_to(asked_for, approve=True) | more)
        assert (answered.status_code, answered.json()["id"]) == (200, asked_for["id"]), answered.text


async def test_answers_that_contradict_each_other_decide_nothing(
    http: httpx.AsyncClient, user: Client, groq_url: str
) -> None:
    _, request = await asked_to_delete(user, groq_url)
    asked_for = (await http.post("/v1/responses", json=request)).json()
    no, yes = (answer_to(asked_for, approve=approve) for approve in (False, True))
    refused = await http.post("/v1/responses", json=yes | {"input": [*no["input"], *yes["input"]]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input[1].approve")
    (listed,) = (await user.http.get("/api/operations")).json()
    assert listed["status"] == "proposed"
    answered = await http.post("/v1/responses", json=yes | {"input": [*yes["input"], *yes["input"]]})
    assert (answered.status_code, answered.json()["status"]) == (200, "completed"), answered.text


async def test_a_proposal_whose_time_is_over_can_be_refused_and_not_approved(
    http: httpx.AsyncClient, user: Client, groq_url: str, system: System
) -> None:
    _, request = await asked_to_delete(user, groq_url)
    asked_for = (await http.post("/v1/responses", json=request)).json()
    system.ask("UPDATE operations SET expires_at = created_at WHERE status = 'proposed'")
    late = await http.post("/v1/responses", json=answer_to(asked_for, approve=True))
    assert (late.status_code, late.json()["error"]["code"]) == (409, "approval_not_pending")
    refused = await http.post("/v1/responses", json=answer_to(asked_for, approve=False))
    assert (refused.status_code, refused.json()["status"]) == (200, "completed"), refused.text
    (listed,) = (await user.http.get("/api/operations")).json()
    assert listed["status"] == "expired"


@pytest.mark.parametrize("approve", [True, False])
async def test_another_decision_than_the_one_that_was_made_is_refused(
    http: httpx.AsyncClient, user: Client, groq_url: str, *, approve: bool
) -> None:
    _, request = await asked_to_delete(user, groq_url)
    asked_for = (await http.post("/v1/responses", json=request)).json()
    decided = await http.post("/v1/responses", json=answer_to(asked_for, approve=approve))
    refused = await http.post("/v1/responses", json=answer_to(asked_for, approve=not approve))
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "approval_not_pending")
    again = await http.post("/v1/responses", json=answer_to(asked_for, approve=approve))
    assert again.json() == decided.json()


async def test_of_several_answers_all_are_decisions_or_none(
    http: httpx.AsyncClient, user: Client, groq_url: str
) -> None:
    request, requests = await asked_to_delete_two(http, user, groq_url)
    first, second = (str(UUID(one.removeprefix("mcpr_"))) for one in requests)
    (await user.http.post(f"/api/operations/{second}/refuse")).raise_for_status()
    answers = [{"type": "mcp_approval_response", "approval_request_id": one, "approve": True} for one in requests]
    for ordered in (answers, answers[::-1]):
        conflict = await http.post("/v1/responses", json=request | {"input": ordered})
        assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "approval_not_pending")
    now = {one["id"]: one["status"] for one in (await user.http.get("/api/operations")).json()}
    assert now == {first: "proposed", second: "refused"}


async def test_several_answers_let_the_response_go_on_once(
    http: httpx.AsyncClient, user: Client, groq_url: str
) -> None:
    request, requests = await asked_to_delete_two(http, user, groq_url)
    answers = [{"type": "mcp_approval_response", "approval_request_id": one, "approve": True} for one in requests]
    answered = await http.post("/v1/responses", json=request | {"input": answers})
    assert (answered.status_code, answered.json()["status"]) == (200, "completed"), answered.text
    assert {one["status"] for one in (await user.http.get("/api/operations")).json()} == {"committed"}


async def asked_to_delete_two(http: httpx.AsyncClient, user: Client, groq_url: str) -> tuple[Json, list[str]]:
    """A request whose answer has proposed to delete two chats, each by itself, and the ids of what it asks for."""
    mark = uuid4().hex
    each = [{"chats": [await user.new_chat()]} for _ in range(2)]
    await groq_control.script(groq_url, "tool=chats_delete calls=2", marker=mark, arguments=each)
    request = asked(f"{mark} [[tokens=4]]", tools=OWN_TOOLS)
    asked_for = (await http.post("/v1/responses", json=request)).json()
    return request, [item["id"] for item in asked_for["output"] if item["type"] == "mcp_approval_request"]


async def test_what_nobody_asked_for_can_not_be_approved(http: httpx.AsyncClient) -> None:
    response = await created(http)
    answer = {"type": "mcp_approval_response", "approval_request_id": f"mcpr_{uuid4().hex}", "approve": True}
    refused = await http.post("/v1/responses", json=asked(previous_response_id=response["id"]) | {"input": [answer]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "approval_not_pending")


async def test_a_conversation_without_a_users_text_has_no_title_yet(http: httpx.AsyncClient, user: Client) -> None:
    first = await created(http, input=[{"role": "system", "content": "Begin [[tokens=1]]"}])
    assert [chat["title"] for chat in (await user.http.get("/api/chats")).json()] == [None]
    await created(http, "Two [[tokens=1]]", previous_response_id=first["id"])
    (chat,) = (await user.http.get("/api/chats")).json()
    assert chat["title"]


async def test_our_own_tools_are_on_offer_where_they_are_asked_for(http: httpx.AsyncClient, groq_url: str) -> None:
    mark = uuid4().hex
    await groq_control.script(groq_url, "tool=current_time", marker=mark, arguments={"time_zone": "UTC"})
    named = {"type": "function", "name": "current_time"}
    response = await created(http, f"{mark} [[tokens=2]]", tools=[named])
    assert [item["type"] for item in response["output"]] == ["mcp_call", "message"]
    assert response["output"][0]["status"] == "completed", response["output"][0]
    *_, captured = await groq_control.requests(groq_url, containing=mark, ended=2)
    offered = [tool["function"]["name"] for tool in captured["body"]["tools"]]
    assert offered == ["current_time"]


@pytest.mark.parametrize("store", [True, False])
async def test_who_leaves_stops_what_is_not_stored(
    http: httpx.AsyncClient, system: System, groq_url: str, *, store: bool
) -> None:
    gate = uuid4().hex
    reader = ResponseReader(http)
    await reader.ask(asked(f"[[tokens=50 hold={gate} after=10]]", store=store), until=10)
    if store:
        assert (await http.get(f"/v1/responses/{reader.id}")).json()["status"] == "in_progress"
    else:
        ended = ("generations", "id = %s AND status = 'cancelled'", reader.id.removeprefix("resp_"))
        await eventually(lambda: system.count(*ended) == 1)
    await groq_control.release(groq_url, gate)
