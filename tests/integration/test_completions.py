"""Requests that bring their whole context along: what the model is told, where they are kept, and what becomes of that."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from services.api.limits import Limits
from services.api.turns.completion import accept_completion
from services.api.turns.turn import Completion, Turn
from services.worker.generations.steps import dump, new_step
from services.worker.models.port import ToolCall
from services.worker.runtime import Worker
from shared.database.engine import Database, open_database
from shared.errors import IdempotencyKeyReused, ModelNotOffered, ParameterNotSupported, TokenInvalid, TooManyGenerations
from shared.generations.parameters import (
    ClientTool,
    GivenCall,
    GivenMessage,
    NamedTool,
    Parameters,
    ResponseFormat,
)
from shared.ids import UserId
from shared.operations.proposals import Bounds
from shared.protocol.message_parts import MessagePart
from shared.settings import Settings
from tests.doubles import groq_control
from tests.support.clients import Client, numbered
from tests.support.feeds import ready_tab
from tests.support.turns import Noted, execute

WEATHER = ClientTool(name="weather", description="Tells the weather.", parameters={"type": "object"})
AGE_HIDDEN = "UPDATE chats SET last_message_at = now() - interval '1 hour' WHERE is_hidden"
AGE_ENDS = "UPDATE generations SET finished_at = now() - interval '1 hour' WHERE finished_at IS NOT NULL"


@pytest.fixture
def limits(settings: Settings) -> Limits:
    return Limits(
        message_chars=100,
        offered_models=settings.offered_models,
        live_generations=2,
        queue_depth=100,
        daily_tokens=None,
        summary_chars=100,
        facts=1,
        kept_messages=1,
        trash_days=1,
        proposals=Bounds(1, timedelta(hours=1)),
    )


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    opened = open_database(settings.database_url, pool_size=2)
    yield opened
    await opened.dispose()


@pytest.fixture
async def user(client: Client) -> UserId:
    """The user whom `client` has made."""
    return UserId((await client.http.get("/api/auth/me")).json()["id"])


def asked(text: str, **parameters: Any) -> Parameters:  # noqa: ANN401 - whatever Parameters takes
    return Parameters(messages=(GivenMessage(role="user", content=text),), own_tools=(), **parameters)


async def test_the_model_gets_the_messages_and_the_parameters_and_nothing_else(
    database: Database, limits: Limits, user: UserId, worker: Worker, groq_url: str, database_url: str
) -> None:
    mark = uuid4().hex
    limits = replace(limits, offered_models=("openai/gpt-oss-120b",))
    messages = (
        GivenMessage(role="system", content="Speak like a pirate."),
        GivenMessage(role="user", content="Weather?"),
        GivenMessage(role="assistant", calls=(GivenCall(id="c1", name="weather", arguments='{"city": "Rome"}'),)),
        GivenMessage(role="tool", content="sunny", call_id="c1"),
        GivenMessage(role="user", content=f"{mark} [[tokens=3]]"),
    )
    parameters = Parameters(
        messages=messages,
        own_tools=(),
        tools=(WEATHER,),
        tool_choice="none",
        parallel_tool_calls=False,
        temperature=0.1,
        top_p=0.5,
        max_output_tokens=50,
        stop=("END",),
        seed=7,
        presence_penalty=0.5,
        frequency_penalty=0.25,
        response_format=ResponseFormat(type="json_object"),
        reasoning_effort="high",
    )
    turn = await accept_completion(database, Noted(), limits, Completion(user, "chat", parameters))
    await worker.attempts.run(turn.generation_id)
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    body = request["body"]
    assert [(one["role"], one.get("content")) for one in body["messages"]] == [
        ("system", "Speak like a pirate."),
        ("user", "Weather?"),
        ("assistant", body["messages"][2].get("content")),
        ("tool", "sunny"),
        ("user", f"{mark} [[tokens=3]]"),
    ]
    assert not body["messages"][2].get("content")
    assert body["messages"][2]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}
    given = {name: body[name] for name in ("temperature", "top_p", "max_tokens", "stop", "seed", "reasoning_effort")}
    assert given == {
        "temperature": 0.1,
        "top_p": 0.5,
        "max_tokens": 50,
        "stop": ["END"],
        "seed": 7,
        "reasoning_effort": "high",
    }
    assert (body["presence_penalty"], body["frequency_penalty"]) == (0.5, 0.25)
    assert body["response_format"] == {"type": "json_object"}
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("none", False)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["weather"]
    ((content, status),) = execute(database_url, "SELECT content, status FROM messages WHERE role = 'assistant'")
    assert (content, status) == (numbered(3), "completed")


async def test_a_call_of_the_clients_tool_ends_the_answer_and_is_not_made(
    database: Database, limits: Limits, user: UserId, worker: Worker, groq_url: str, database_url: str
) -> None:
    mark = uuid4().hex
    long = {"city": "Rome" * 10_000}
    other = {"city": "Rome" * 10_001}
    await groq_control.script(groq_url, "tool=weather after=2", marker=mark, arguments=[long, other, {"city": "Oslo"}])
    parameters = asked(mark, tools=(WEATHER,), tool_choice=NamedTool(name="weather"))
    turn = await accept_completion(database, Noted(), limits, Completion(user, "chat", parameters))
    await worker.attempts.run(turn.generation_id)
    (request,) = await groq_control.requests(groq_url, containing=mark, ended=1)
    assert request["body"]["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    reply = "SELECT parts, finish_reason, g.status FROM generations g JOIN messages m ON m.id = assistant_message_id"
    ((parts, reason, status),) = execute(database_url, reply)
    calls = [part for part in cast("list[MessagePart]", parts) if part["type"] == "dynamic-tool"]
    assert [call["input"] for call in calls] == [long, other, {"city": "Oslo"}]
    assert {(call["state"], call["providerExecuted"]) for call in calls} == {("input-available", False)}
    assert (reason, status) == ("tool-calls", "completed")


async def test_an_answer_of_which_the_requests_bounds_leave_nothing_is_no_failure(
    database: Database, limits: Limits, user: UserId, worker: Worker, groq_url: str, database_url: str
) -> None:
    for bound in ({"stop": ("END",)}, {"max_output_tokens": 3}):
        mark = uuid4().hex
        await groq_control.script(groq_url, "reasoning=3", marker=mark, reply="")
        turn = await accept_completion(database, Noted(), limits, Completion(user, "chat", asked(mark, **bound)))
        await worker.attempts.run(turn.generation_id)
        await groq_control.requests(groq_url, containing=mark, ended=1)
    assert execute(database_url, "SELECT DISTINCT status, error_code FROM generations") == [("completed", None)]


async def test_a_hidden_chat_is_in_no_list_and_makes_no_title_and_no_summary(
    database: Database, limits: Limits, user: UserId, client: Client, worker: Worker, noted: Noted, database_url: str
) -> None:
    turn = await accept_completion(database, Noted(), limits, Completion(user, "chat", asked("Hello [[tokens=2]]")))
    await worker.attempts.run(turn.generation_id)
    ((chat_id,),) = execute(database_url, "SELECT id FROM chats")
    for path in ("/api/chats", "/api/chats?temporary=true", "/api/trash", "/api/search?q=Hello"):
        found = await client.http.get(path)
        assert found.status_code == 200, path
        assert str(chat_id) not in found.text, path
    for method, path in (
        ("GET", f"/api/chats/{chat_id}"),
        ("GET", f"/api/chats/{chat_id}/messages"),
        ("DELETE", f"/api/chats/{chat_id}"),
        ("GET", f"/api/chats/{chat_id}/stream"),
        ("POST", f"/api/chats/{chat_id}/messages"),
    ):
        body = {"content": "Hello"} if method == "POST" else None
        assert (await client.http.request(method, path, json=body)).status_code == 404, path
    assert (noted.titles, noted.chats) == ([], [])


async def test_a_hidden_chat_goes_with_its_log_and_what_it_took_stays_counted(
    database: Database, limits: Limits, user: UserId, worker: Worker, database_url: str
) -> None:
    over = await accept_completion(database, Noted(), limits, Completion(user, "chat", asked("Hello [[tokens=2]]")))
    await accept_completion(database, Noted(), limits, Completion(user, "chat", asked("Still queued")))
    await worker.attempts.run(over.generation_id)
    execute(database_url, AGE_HIDDEN)
    await worker.hidden_chats.delete_expired()
    assert execute(database_url, "SELECT count(*) FROM chats") == [(2,)]  # one ended just now, the other is open
    execute(database_url, AGE_ENDS)
    await worker.hidden_chats.delete_expired()
    assert execute(database_url, "SELECT status FROM generations") == [("queued",)]
    assert execute(database_url, "SELECT count(*) FROM chats") == [(1,)]
    assert execute(database_url, "SELECT count(*) FROM model_calls") == [(1,)]


async def test_a_key_makes_a_completion_once(
    database: Database, limits: Limits, user: UserId, database_url: str
) -> None:
    async def accept(text: str) -> Turn:
        return await accept_completion(database, Noted(), limits, Completion(user, "chat", asked(text), key="k"))

    first, second = await accept("Hello"), await accept("Hello")
    assert (first.generation_id, second.is_repeated) == (second.generation_id, True)
    with pytest.raises(IdempotencyKeyReused):
        await accept("Something else")
    assert execute(database_url, "SELECT count(*) FROM chats") == [(1,)]


async def test_a_refused_completion_leaves_nothing_behind(
    database: Database, limits: Limits, user: UserId, database_url: str
) -> None:
    for _ in range(limits.live_generations):
        await accept_completion(database, Noted(), limits, Completion(user, "chat", asked("Hello")))
    with pytest.raises(TooManyGenerations):
        await accept_completion(database, Noted(), limits, Completion(user, "chat", asked("Hello")))
    with pytest.raises(ModelNotOffered):
        await accept_completion(database, Noted(), limits, Completion(user, "chat", asked("Hello"), model="nobody/s"))
    assert execute(database_url, "SELECT count(*) FROM chats") == [(limits.live_generations,)]


async def test_what_a_model_can_not_do_is_refused(database: Database, limits: Limits, user: UserId) -> None:
    small = replace(limits, offered_models=("smollm2-135m",))
    for parameters, field in (
        (asked("a", tools=(WEATHER,)), "tools"),
        (asked("a", reasoning_effort="low"), "reasoning_effort"),
        (asked("a", response_format=ResponseFormat(type="json_object")), "response_format"),
    ):
        with pytest.raises(ParameterNotSupported) as refused:
            await accept_completion(database, Noted(), small, Completion(user, "chat", parameters))
        assert refused.value.field == field


async def test_a_worker_that_knows_no_parameters_can_not_claim_a_completion(
    database: Database, limits: Limits, user: UserId, worker: Worker, database_url: str
) -> None:
    turn = await accept_completion(database, Noted(), limits, Completion(user, "chat", asked("Hello [[tokens=2]]")))
    claim = "UPDATE generations SET status = 'running', attempt = attempt + 1, lease_expires_at = now() WHERE id = %s"
    with pytest.raises(psycopg.errors.CheckViolation):
        execute(database_url, claim, turn.generation_id)
    await worker.attempts.run(turn.generation_id)
    assert execute(database_url, "SELECT status FROM generations") == [("completed",)]


async def test_nothing_of_a_completion_is_told_to_the_feed(
    database: Database, limits: Limits, user: UserId, client: Client, worker: Worker, database_url: str
) -> None:
    limits = replace(limits, live_generations=10)
    new = Completion(user, "chat", asked("Hello [[tokens=2]]"))
    expired = "UPDATE generations SET status = 'running', attempt = 1, parameters_attempt = 1, lease_expires_at = now()"
    async with ready_tab(client) as tab:
        over, stopped, lost = [await accept_completion(database, Noted(), limits, new) for _ in range(3)]
        await worker.attempts.run(over.generation_id)
        await client.http.post(f"/api/generations/{stopped.generation_id}/cancel")
        execute(database_url, f"{expired} WHERE id = %s", lost.generation_id)
        await worker.sweep()
        ended = "SELECT status FROM generations ORDER BY id"
        assert execute(database_url, ended) == [("completed",), ("cancelled",), ("queued",)]
        execute(database_url, AGE_HIDDEN)
        execute(database_url, AGE_ENDS)
        await worker.hidden_chats.delete_expired()
        await client.new_chat()
        (first,) = await tab.until("chat.created")
    assert first.part["title"] is None


async def test_a_context_that_is_too_long_fails_and_teaches_nothing(
    database: Database, limits: Limits, user: UserId, worker: Worker, database_url: str
) -> None:
    text = f"{'word ' * 3_000} [[context=1000]]"
    turn = await accept_completion(database, Noted(), limits, Completion(user, "chat", asked(text)))
    await worker.attempts.run(turn.generation_id)
    assert execute(database_url, "SELECT status, error_code FROM generations") == [("failed", "prompt_too_long")]
    assert worker.attempts.answer_loop.models.learned.contexts == {}


async def test_who_deleted_the_account_meanwhile_is_not_let_in(database: Database, limits: Limits) -> None:
    with pytest.raises(TokenInvalid):
        await accept_completion(database, Noted(), limits, Completion(UserId(2**40), "chat", asked("Hello.")))


async def test_a_request_that_can_not_be_read_again_fails_at_once(
    database: Database, limits: Limits, user: UserId, worker: Worker, database_url: str
) -> None:
    turn = await accept_completion(database, Noted(), limits, Completion(user, "chat", asked("Hello.")))
    execute(database_url, """UPDATE generations SET parameters = '{"messages": []}'""")
    await worker.attempts.run(turn.generation_id)
    outcome = execute(database_url, "SELECT status, error_code, attempt FROM generations")
    assert outcome == [("failed", "model_rejected", 1)]


@pytest.mark.parametrize("faults", ["fault=400", "fault=400 code=tool_use_failed"])
async def test_no_answer_is_made_without_the_tools_that_the_request_has(
    database: Database, limits: Limits, user: UserId, worker: Worker, groq_url: str, database_url: str, faults: str
) -> None:
    mark = uuid4().hex
    parameters = asked(f"{mark} [[{faults}]]", tools=(WEATHER,))
    turn = await accept_completion(database, Noted(), limits, Completion(user, "chat", parameters))
    await worker.attempts.run(turn.generation_id)
    ((status, code),) = execute(database_url, "SELECT status, error_code FROM generations")
    assert (status, str(code).startswith("model_")) == ("failed", True)
    requests = await groq_control.requests(groq_url, containing=mark, ended=1)
    assert all(request["body"]["tools"] for request in requests)


async def test_of_many_requests_with_one_key_at_once_one_is_accepted(
    database: Database, limits: Limits, user: UserId, database_url: str
) -> None:
    limits = replace(limits, live_generations=20)
    new = Completion(user, "chat", asked("Hello"), key="k")
    turns = await asyncio.gather(*(accept_completion(database, Noted(), limits, new) for _ in range(10)))
    assert len({turn.generation_id for turn in turns}) == 1
    assert sum(not turn.is_repeated for turn in turns) == 1
    assert execute(database_url, "SELECT count(*) FROM chats") == [(1,)]


async def test_calls_that_a_dead_worker_has_saved_end_the_answer_and_the_model_is_not_asked_again(
    database: Database, limits: Limits, user: UserId, worker: Worker, groq_url: str, database_url: str
) -> None:
    mark = uuid4().hex
    new = Completion(user, "chat", asked(f"{mark} [[tokens=2]]", tools=(WEATHER,)))
    turn = await accept_completion(database, Noted(), limits, new)
    step = new_step("Let me see.", [ToolCall("c1", "weather", {"city": "Rome"})], of_client={"weather"})
    execute(database_url, "UPDATE generations SET steps = %s", Jsonb(dump([step])))
    await worker.attempts.run(turn.generation_id)
    reply = "SELECT content, parts, finish_reason FROM generations g JOIN messages m ON m.id = assistant_message_id"
    ((content, parts, reason),) = execute(database_url, reply)
    calls = [part["input"] for part in cast("list[MessagePart]", parts) if part["type"] == "dynamic-tool"]
    assert (content, calls, reason) == ("Let me see.", [{"city": "Rome"}], "tool-calls")
    assert await groq_control.requests(groq_url, containing=mark) == []
