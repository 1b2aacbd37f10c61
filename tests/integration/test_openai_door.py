"""OpenAI's door as its wire has it: chunks, whole answers, errors, and what becomes of an answer whose client leaves."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from redis import Redis
from sqlalchemy import Engine, event

from services.api.doors.openai.responses import deciding
from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from shared.database.engine import open_database
from shared.ids import GenerationId, UserId
from shared.settings import Settings
from shared.streams.names import log_key
from tests.doubles import groq_control
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS, Client, numbered
from tests.support.operations import proposed
from tests.support.queued import answer_queued, first_queued
from tests.support.turns import execute, post

PATH = "/v1/chat/completions"
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it.", "parameters": {"type": "object"}},
}


def asking(text: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """The body of a request."""
    return {"model": "double", "messages": [{"role": "user", "content": text}], **options}


@pytest.fixture
async def answering(worker: Worker, database_url: str) -> AsyncIterator[None]:
    """A worker that takes what is queued."""
    async with answer_queued(worker, database_url):
        yield


@asynccontextmanager
async def streaming(client: Client, body: dict[str, Any], **headers: str) -> AsyncIterator[httpx.Response]:
    """The response to a request for a stream."""
    async with client.http.stream("POST", PATH, json={**body, "stream": True}, headers=headers) as response:
        yield response


async def events_of(response: httpx.Response) -> list[Any]:
    """The events of a stream, each as JSON; the last one as text."""
    assert response.status_code == 200, await response.aread()
    lines = [line.removeprefix("data: ") async for line in response.aiter_lines() if line.startswith("data: ")]
    return [json.loads(line) if line.startswith("{") else line for line in lines]


async def ended(database_url: str, status: str) -> None:
    """Wait until the only generation has this status."""
    async with asyncio.timeout(10):
        while execute(database_url, "SELECT status FROM generations") != [(status,)]:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)


def text_of(chunks: list[Any]) -> str:
    """The text of chunks."""
    choices = [choice for chunk in chunks if isinstance(chunk, dict) for choice in chunk.get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


@pytest.mark.usefixtures("answering")
async def test_an_answer_is_streamed_as_openai_streams_it(client: Client) -> None:
    async with streaming(client, asking("Hello [[tokens=5]]")) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = await events_of(response)
    *chunks, done = events
    assert done == "[DONE]"
    assert text_of(chunks) == numbered(5)
    first, last = chunks[0], chunks[-1]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert last["choices"][0]["delta"] == {}
    assert {(one["id"], one["object"], one["created"], one["model"]) for one in chunks} == {
        (first["id"], "chat.completion.chunk", first["created"], "double")
    }
    assert first["id"].startswith("chatcmpl-")
    assert all("usage" not in chunk for chunk in chunks)


@pytest.mark.usefixtures("answering")
async def test_the_last_chunk_counts_the_tokens_where_that_is_asked_for(client: Client, database_url: str) -> None:
    body = asking("Hello [[tokens=5]]", stream_options={"include_usage": True})
    async with streaming(client, body) as response:
        *chunks, last, _ = await events_of(response)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    ((prompt, completion, total),) = execute(
        database_url, "SELECT prompt_tokens, completion_tokens, total_tokens FROM model_calls"
    )
    assert last["usage"] == {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}


@pytest.mark.usefixtures("answering")
async def test_odd_texts_come_whole(client: Client) -> None:
    async with streaming(client, asking("Hello [[tokens=300 text=specials]]")) as response:
        streamed = text_of(await events_of(response))
    whole = (await client.http.post(PATH, json=asking("Hello [[tokens=300 text=specials]]"))).json()
    assert streamed == whole["choices"][0]["message"]["content"]
    assert len(streamed) > 200


@pytest.mark.usefixtures("answering")
async def test_an_answer_that_is_not_streamed_is_one_object(client: Client) -> None:
    response = await client.http.post(PATH, json=asking("Hello [[tokens=5 reasoning=2]]"))
    answer = response.json()
    assert (response.status_code, answer["object"]) == (200, "chat.completion")
    (choice,) = answer["choices"]
    assert choice == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": numbered(5),
            "refusal": None,
            "reasoning_content": "r1 r2 ",
        },
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert answer["usage"]["total_tokens"] == sum(
        answer["usage"][name] for name in ("prompt_tokens", "completion_tokens")
    )


@pytest.mark.usefixtures("answering")
async def test_a_completion_is_no_response(client: Client, database_url: str) -> None:
    answered = await client.http.post(PATH, json=asking("Hello [[tokens=1]]"))
    hidden = UUID(answered.headers["X-Generation-Id"])
    for method, path in (
        ("GET", ""), ("GET", "?stream=true"), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", ""),
    ):  # fmt: skip
        refused = await client.http.request(method, f"/v1/responses/resp_{hidden.hex}{path}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "response_not_found")
    assert execute(database_url, "SELECT id FROM generations") == [(hidden,)]
    body = {"model": "double", "input": "Hello [[tokens=1]]", "store": False}
    unstored = (await client.http.post("/v1/responses", json=body)).json()
    assert (await client.http.get(f"/v1/responses/{unstored['id']}")).json() == unstored


@pytest.mark.usefixtures("answering")
async def test_calls_of_tools_come_as_deltas_and_as_a_whole(client: Client, groq_url: str) -> None:
    mark, arguments = uuid4().hex, [{"city": "Rome"}, {"city": "Ürümqi" * 1_000}]
    for _ in range(2):
        await groq_control.script(groq_url, "tool=weather after=2", marker=mark, arguments=arguments)
    async with streaming(client, asking(mark, tools=[WEATHER])) as response:
        *chunks, _ = await events_of(response)
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    calls = dict[int, dict[str, str]]()
    for delta in (call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())):
        call = calls.setdefault(delta["index"], {"id": delta.get("id", ""), "name": "", "arguments": ""})
        call["name"] += delta["function"].get("name", "")
        call["arguments"] += delta["function"]["arguments"]
    assert [json.loads(call["arguments"]) for call in calls.values()] == arguments
    assert {call["name"] for call in calls.values()} == {"weather"}
    assert len({call["id"] for call in calls.values()}) == 2

    whole = (await client.http.post(PATH, json=asking(mark, tools=[WEATHER]))).json()["choices"][0]
    assert whole["finish_reason"] == "tool_calls"
    assert [json.loads(call["function"]["arguments"]) for call in whole["message"]["tool_calls"]] == arguments


@pytest.mark.usefixtures("answering")
async def test_an_answer_that_fails_ends_the_stream_with_an_error(client: Client) -> None:
    async with streaming(client, asking("Hello [[fault=401]]")) as response:
        *_, last = await events_of(response)
    assert last["error"]["code"] == "model_auth_failed"
    assert set(last["error"]) == {"message", "type", "param", "code"}
    refused = await client.http.post(PATH, json=asking("Hello [[fault=401]]"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "model_auth_failed")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("fault=429 retry_after=600", 429, "rate_limit_exceeded"),
        ("fault=503 retry_after=600", 503, "model_unavailable"),
    ],
)
@pytest.mark.usefixtures("answering")
async def test_an_answer_that_the_model_can_not_give_now_names_a_time_to_wait(
    client: Client, fault: str, status: int, code: str
) -> None:
    refused = await client.http.post(PATH, json=asking(f"Hello [[{fault}]]"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert int(refused.headers["Retry-After"]) > 0


def with_bound(most: int) -> dict[str, Any]:
    """A tool whose argument has a bound."""
    return {"type": "function", "function": {"name": "count", "parameters": {"maximum": most}}}


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        (asking("a", n=2), 400, "n", "validation_failed"),
        (asking("a", logprobs=True), 400, "logprobs", "validation_failed"),
        (asking("a", audio={"voice": "alloy"}), 400, "audio", "validation_failed"),
        (asking("a", modalities=["text", "audio"]), 400, "modalities", "validation_failed"),
        (asking("a", logit_bias={"50256": -100}), 400, "logit_bias", "validation_failed"),
        (asking("a", functions=[{"name": "a"}]), 400, "functions", "validation_failed"),
        (asking("a", store=True), 400, "store", "validation_failed"),
        (asking("a", web_search_options={}), 400, "web_search_options", "validation_failed"),
        (asking("a", temperature=3), 400, "temperature", "validation_failed"),
        (asking("a", stop=["a", "b", "c", "d", "e"]), 400, "stop", "validation_failed"),
        (asking("a", stream_options={"include_usage": True}), 400, "stream_options", "validation_failed"),
        (asking("a", top_k=3), 400, "top_k", "unknown_parameter"),
        (asking("a", reasoning_effort="low"), 400, "reasoning_effort", "unsupported_parameter"),
        (asking("a", tool_choice="required"), 400, "tool_choice", "validation_failed"),
        (asking("a", tools=[WEATHER, WEATHER]), 400, "tools", "validation_failed"),
        (asking("a", response_format={"type": "json_schema"}), 400, "response_format.json_schema", "validation_failed"),
        (asking("a", model="gpt-9"), 404, "model", "model_not_found"),
        ({"model": "double"}, 400, "messages", "validation_failed"),
        ({"model": "double", "messages": []}, 400, "messages", "validation_failed"),
        ({"messages": [{"role": "user", "content": "a"}]}, 400, "model", "validation_failed"),
        (
            asking("a", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]),
            400,
            "messages.0.content.0",
            "part_not_supported",
        ),
        (asking("a", messages=[{"role": "user"}]), 400, "messages.0.content", "validation_failed"),
        (
            asking("a", messages=[{"role": "tool", "content": "a", "tool_call_id": "1"}]),
            400,
            "messages.0.tool_call_id",
            "validation_failed",
        ),
        (asking("a\0"), 400, "messages.0.content", "validation_failed"),
        (asking("a", tools=[with_bound(2**64)]), 400, "tools.0.function.parameters", "validation_failed"),
        (
            asking(
                "a",
                messages=[
                    {"role": "user", "content": "a"},
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "1", "function": {"name": "weather", "arguments": "[1]"}}],
                    },
                    {"role": "tool", "content": "a", "tool_call_id": "1"},
                ],
            ),
            400,
            "messages.1.tool_calls.0.function.arguments",
            "validation_failed",
        ),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)
async def test_what_can_not_be_done_is_refused_by_its_name(
    client: Client, body: dict[str, Any], status: int, param: str, code: str, database_url: str
) -> None:
    refused = await client.http.post(PATH, json=body)
    error = refused.json()["error"]
    assert (refused.status_code, error["param"], error["code"]) == (status, param, code), error
    assert error["type"] == "invalid_request_error"
    assert execute(database_url, "SELECT count(*) FROM chats") == [(0,)]


@pytest.mark.usefixtures("answering")
async def test_what_asks_for_nothing_is_passed_over(client: Client, groq_url: str) -> None:
    mark = uuid4().hex
    body = asking(
        f"{mark} [[tokens=2]]",
        n=1,
        user="somebody",
        metadata={"a": "b"},
        store=False,
        presence_penalty=0,
        frequency_penalty=0,
        logprobs=False,
        top_logprobs=None,
        logit_bias={},
        modalities=["text"],
        service_tier="auto",
        safety_identifier="a",
        prompt_cache_key="b",
        stop=None,
        tools=None,
        tool_choice="none",
        response_format={"type": "text"},
    )
    headers = {"X-OpenWebUI-User-Name": "Somebody", "X-Stainless-Lang": "python", "OpenAI-Beta": "assistants=v2"}
    response = await client.http.post(PATH, json=body, headers=headers)
    assert response.status_code == 200, response.text
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    sent = {"messages", "model", "max_tokens", "stream", "temperature"}
    assert set(request["body"]) <= sent | {"n", "service_tier", "stream_options"}


async def test_each_kind_of_failure_has_openais_form(client: Client) -> None:
    http = client.http
    for response, status in (
        (await http.post(PATH, json=asking("a"), headers={"Authorization": "Bearer ck_wrong"}), 401),
        (await http.get("/v1/nothing"), 404),
        (await http.get("/v1/models/nobody/s"), 404),
        (await http.put(PATH, json=asking("a")), 405),
        (await http.post(PATH, content=b"x" * 3_000_000, headers={"Content-Type": "application/json"}), 413),
        (await http.post(PATH, content=b"a=b", headers={"Content-Type": "application/x-www-form-urlencoded"}), 415),
        (await http.post(PATH, content=b"{", headers={"Content-Type": "application/json"}), 400),
        (await http.post(PATH, content=b'{"a": 1, "a": 1}', headers={"Content-Type": "application/json"}), 400),
    ):
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/json"
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert (await http.get("/v1/models", headers={"Authorization": "Bearer a"})).json()["error"]["code"] == (
        "invalid_api_key"
    )


async def test_too_many_answers_at_once_are_refused_with_a_time_to_wait(settings: Settings) -> None:
    async with (
        serve(settings.model_copy(update={"user_max_live_generations": 2})) as url,
        httpx.AsyncClient(base_url=url, verify=NO_TLS) as http,
    ):
        client = Client(http)
        await client.sign_up()
        async with streaming(client, asking("a")) as first, streaming(client, asking("b")) as second:
            assert (first.status_code, second.status_code) == (200, 200)
            refused = await client.http.post(PATH, json=asking("c"))
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
            assert int(refused.headers["Retry-After"]) > 0


async def test_a_tool_that_is_not_on_offer_is_refused_by_its_place(settings: Settings) -> None:
    async with (
        serve(settings.model_copy(update={"tools": ("current_time",)})) as url,
        httpx.AsyncClient(base_url=url, verify=NO_TLS) as http,
    ):
        await Client(http).sign_up()
        ours = {"type": "mcp", "server_label": "cortexai"}
        body = {"model": "double", "input": "a", "background": True}
        for tool, place in (
            ({"type": "web_search"}, "type"),
            ({"type": "function", "name": "search_history"}, "name"),
            ({**ours, "allowed_tools": ["current_time", "chats_delete"]}, "allowed_tools"),
            ({**ours, "allowed_tools": {"tool_names": ["chats_delete"]}}, "allowed_tools"),
        ):
            asked = {**body, "tools": [tool], "tool_choice": "required"}
            refused = await http.post("/v1/responses", json=asked)
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, f"tools[0].{place}"), refused.text
        for tool in (ours, {**ours, "allowed_tools": ["current_time"]}, {"type": "function", "name": "current_time"}):
            made = await http.post("/v1/responses", json={**body, "tools": [tool], "tool_choice": "required"})
            assert made.status_code == 200, made.text


async def test_a_look_at_a_response_takes_no_stream(settings: Settings) -> None:
    async with (
        serve(settings.model_copy(update={"user_max_streams": 1})) as url,
        httpx.AsyncClient(base_url=url, verify=NO_TLS) as http,
    ):
        client = Client(http)
        await client.sign_up()
        async with streaming(client, asking("a")) as stream:
            assert stream.status_code == 200
            body = {"model": "double", "input": "b", "background": True}
            made = await http.post("/v1/responses", json=body)
            assert made.status_code == 200, made.text
            path = f"/v1/responses/{made.json()['id']}"
            assert (await http.get(path)).json()["status"] == "queued"
            assert (await http.get(path, params={"stream": "false"})).status_code == 200
            for refused in (
                await http.get(path, params={"stream": "true"}),
                await http.post("/v1/responses", json={**body, "stream": True}),
            ):
                assert refused.headers["X-Error-Code"] == "too_many_streams"


async def test_an_answer_that_takes_too_long_is_not_asked_for_again(settings: Settings, database_url: str) -> None:
    async with (
        serve(settings.model_copy(update={"completion_wait_seconds": 1})) as url,
        httpx.AsyncClient(base_url=url, verify=NO_TLS) as http,
    ):
        client = Client(http)
        await client.sign_up()
        late = await http.post(PATH, json=asking("a"))
        assert (late.status_code, late.headers["X-Error-Code"]) == (503, "completion_timed_out")
        assert late.headers["x-should-retry"] == "false"
        await ended(database_url, "cancelled")
        made = asyncio.create_task(http.post(PATH, json=asking("b"), headers={"Idempotency-Key": "b"}))
        queued = await first_queued(database_url)
        (await http.post(f"/api/generations/{queued}/cancel")).raise_for_status()
        cancelled = await made
        assert (cancelled.status_code, cancelled.headers["X-Error-Code"]) == (409, "cancelled")
        assert cancelled.headers["x-should-retry"] == "false"


async def test_a_row_that_is_behind_its_log_is_looked_at_more_and_more_seldom(
    client: Client, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted = await post(client, "a")
    ((user_id,),) = execute(database_url, "SELECT id FROM users")
    database, looks = open_database(database_url, pool_size=1), list[str]()

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        looks.append(statement)

    monkeypatch.setattr(deciding, "PAUSED_WITHIN", 1.0)
    event.listen(Engine, "before_cursor_execute", note)
    try:
        operation = await proposed(
            database,
            UserId(cast("int", user_id)),
            chat_id=posted.chat_id,
            generation_id=posted.generation_id,
            call_id="c",
        )
        looks.clear()
        assert await deciding.awaits_person(database, [operation.id])
        looks = [statement for statement in looks if "generations" in statement]
        assert 3 <= len(looks) <= 10
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        await database.dispose()


async def test_the_models_are_those_on_offer(client: Client) -> None:
    models = (await client.http.get("/v1/models")).json()
    assert models == {
        "object": "list",
        "data": [{"id": "double", "object": "model", "created": 0, "owned_by": "cortexai"}],
    }
    assert (await client.http.get("/v1/models/double")).json() == models["data"][0]


async def test_a_client_that_leaves_stops_its_answer(client: Client, worker: Worker, database_url: str) -> None:
    for is_streamed in (True, False):
        body = asking("Hello [[tokens=5 hold=never]]", stream=is_streamed)
        asked = asyncio.create_task(client.http.post(PATH, json=body))
        making = asyncio.create_task(worker.attempts.run(await first_queued(database_url)))
        asked.cancel()
        async with asyncio.timeout(10):
            await making  # the worker is told to stop, and does
        ended = execute(database_url, "SELECT status FROM generations ORDER BY id DESC LIMIT 1")
        assert ended == [("cancelled",)]


async def test_an_answer_with_a_key_goes_on_and_a_repeated_request_gets_it_whole(
    client: Client, worker: Worker, database_url: str
) -> None:
    body, key = asking("Hello [[tokens=5]]"), {"Idempotency-Key": uuid4().hex}
    asked = asyncio.create_task(client.http.post(PATH, json=body, headers=key))
    queued = await first_queued(database_url)
    asked.cancel()
    await asyncio.wait({asked})
    await worker.attempts.run(queued)
    whole = await client.http.post(PATH, json=body, headers=key)
    assert whole.json()["choices"][0]["message"]["content"] == numbered(5)
    async with streaming(client, body, **key) as refused:
        assert refused.status_code == 200
        assert text_of(await events_of(refused)) == numbered(5)
    other = await client.http.post(PATH, json=asking("Something else"), headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (400, "idempotency_key_reused")
    assert execute(database_url, "SELECT count(*) FROM generations") == [(1,)]


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_a_key_that_is_deleted_ends_the_answer_that_it_asked_for(
    client: Client, database_url: str, *, is_streamed: bool
) -> None:
    made = (await client.http.post("/api/auth/keys", json={"name": "a", "scopes": ["chat"]})).json()
    body = asking("Hello", stream=is_streamed)
    headers = {"Authorization": f"Bearer {made['key']}"}
    asked = asyncio.create_task(client.http.post(PATH, json=body, headers=headers, timeout=20))
    await first_queued(database_url)
    await client.http.delete(f"/api/auth/keys/{made['id']}")
    if is_streamed:
        with pytest.raises(httpx.RemoteProtocolError):
            await asked
    else:
        refused = await asked
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    await ended(database_url, "cancelled")


@pytest.mark.usefixtures("answering")
async def test_an_answer_whose_log_is_gone_is_told_from_its_row(
    client: Client, groq_url: str, valkey: EmbeddedValkey, database_url: str
) -> None:
    mark, arguments, key = uuid4().hex, {"city": "Ürümqi" * 5_000}, {"Idempotency-Key": uuid4().hex}
    await groq_control.script(groq_url, "tool=weather after=2 reasoning=2", marker=mark, arguments=arguments)
    body = asking(mark, tools=[WEATHER])
    before = (await client.http.post(PATH, json=body, headers=key)).json()
    ((generation_id,),) = execute(database_url, "SELECT id FROM generations")
    with Redis.from_url(valkey.url) as redis:
        assert redis.delete(log_key(GenerationId(cast("UUID", generation_id)))) == 1
    after = (await client.http.post(PATH, json=body, headers=key)).json()
    assert after == before
    assert json.loads(after["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]) == arguments
    async with streaming(client, body, **key) as response:
        *_, last, _ = await events_of(response)
    assert last["choices"][0]["finish_reason"] == "tool_calls"
