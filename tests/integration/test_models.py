"""Which model answers, what it is told besides, what becomes of its reasoning, and what happens when it does not answer."""

import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from uuid import uuid4

import pytest
from redis import Redis

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.app import groq_model, model_catalog
from services.worker.models.port import (
    ChatModel,
    ModelChunk,
    ModelMessage,
    ModelRequest,
    RetryNotice,
    ToolDescription,
)
from services.worker.models.retry import RetryingModel
from services.worker.runtime import Worker
from shared.errors import ModelRejected, ModelUnavailable
from shared.settings import Settings
from shared.streams.names import log_key
from tests.conftest import settings_for
from tests.doubles import groq_control
from tests.support.clients import Client, error_of, numbered, text_of, types_of
from tests.support.models import ask_whole
from tests.support.turns import Posted, answer, execute, logged, open_worker_for, post


@pytest.fixture
def settings(database_url: str, valkey: EmbeddedValkey, groq_url: str) -> Settings:
    """Two models are offered, and there is a third to fall back to."""
    return settings_for(
        database_url, valkey.url, groq_url, groq_models=("double-large",), groq_fallback_model="double-small"
    )


async def ask(client: Client, worker: Worker, content: str, model: str) -> Posted:
    """A turn, all of it."""
    chat = await client.new_chat()
    accepted = (await client.post_async(chat, content, model=model)).raise_for_status().json()
    posted = Posted.of(chat, accepted)
    await worker.attempts.run(posted.generation_id)
    return posted


async def test_a_message_is_answered_by_the_model_that_it_names(client: Client, worker: Worker, groq_url: str) -> None:
    words = uuid4().hex
    posted = await ask(client, worker, f"{words} [[tokens=1]]", model="double-large")
    (asked,) = await groq_control.requests(groq_url, containing=words, ended=1)
    assert asked["body"]["model"] == "double-large"
    seen = (await client.http.get(f"/api/generations/{posted.generation_id}")).json()
    assert seen["model"] == "double-large"


async def test_a_model_that_is_not_offered_is_refused_by_name(client: Client, database_url: str) -> None:
    chat = await client.new_chat()
    refused = await client.post_async(chat, "Hello", model="gpt-99")
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (422, "model_not_offered", "model")
    assert "double, double-large" in refused.json()["detail"]
    assert execute(database_url, "SELECT count(*) FROM messages") == [(0,)]


async def test_the_fallback_is_only_for_when_others_fail(client: Client) -> None:
    refused = await client.post_async(await client.new_chat(), "Hello", model="double-small")
    assert refused.status_code == 422


async def test_another_model_under_the_same_key_is_another_message(client: Client) -> None:
    chat = await client.new_chat()
    key = {"Idempotency-Key": uuid4().hex}
    assert (await client.post_async(chat, "Hello", headers=key, model="double")).status_code == 202
    assert (await client.post_async(chat, "Hello", headers=key, model="double-large")).status_code == 422


async def test_when_the_model_does_not_answer_readers_are_told_and_the_fallback_does(
    client: Client, worker: Worker, groq_url: str
) -> None:
    words = uuid4().hex
    posted, events = await answer(client, worker, f"{words} [[tokens=4 fault=503 retry_after=0 once=3]]")
    assert text_of(events) == numbered(4)
    told = [event.part["data"] for event in events if event.part["type"] == "data-status"]
    assert [status["status"] for status in told] == ["generating", "retrying", "retrying", "retrying"]
    assert [status.get("model") for status in told[1:]] == ["double", "double", "double-small"]
    asked = await groq_control.requests(groq_url, containing=words, ended=4)
    assert [request["body"]["model"] for request in asked] == ["double"] * 3 + ["double-small"]
    assert (await client.http.get(f"/api/generations/{posted.generation_id}")).json()["model"] == "double-small"


async def test_a_rate_limit_longer_than_patience_goes_to_the_fallback_at_once(
    client: Client, worker: Worker, groq_url: str
) -> None:
    words = uuid4().hex
    _, events = await answer(client, worker, f"{words} [[tokens=2 fault=429 retry_after=120 once=1]]")
    assert text_of(events) == numbered(2)
    assert len(await groq_control.requests(groq_url, containing=words, ended=2)) == 2


@pytest.mark.parametrize("gone", ["fault=404", "fault=400 code=model_decommissioned"])
async def test_a_model_that_is_gone_is_replaced_by_the_fallback_at_once(
    client: Client, worker: Worker, groq_url: str, caplog: pytest.LogCaptureFixture, gone: str
) -> None:
    words = uuid4().hex
    posted, events = await answer(client, worker, f"{words} [[tokens=4 {gone} once=1]]")
    assert text_of(events) == numbered(4)
    asked = await groq_control.requests(groq_url, containing=words, ended=2)
    assert [request["body"]["model"] for request in asked] == ["double", "double-small"]
    (line,) = logged(caplog, "model_fallback")
    assert (line["code"], line["model"], line["fallback"]) == ("model_not_available", "double", "double-small")
    assert line["generation_id"] == str(posted.generation_id)
    assert logged(caplog, "answer_failed") == []


async def test_a_fallback_that_is_gone_too_is_named_in_the_log(
    client: Client, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    _, events = await answer(client, worker, "Hello [[fault=404]]")
    assert error_of(events) == "model_not_available"
    assert "GROQ_MODEL" in events[-1].part["errorText"]
    (line,) = logged(caplog, "answer_failed")
    assert (line["model"], line["endpoint_status"]) == ("double-small", 404)


async def test_reasoning_is_streamed_and_kept_apart_from_the_text(
    client: Client, worker: Worker, groq_url: str
) -> None:
    posted, events = await answer(client, worker, "Think [[tokens=3 reasoning=2]]")
    kinds = [kind for kind in types_of(events) if kind.startswith(("reasoning", "text"))]
    assert kinds[0] == "reasoning-start"
    assert kinds.index("reasoning-end") < kinds.index("text-start")
    assert text_of(events) == numbered(3)
    _, reply = await client.messages(posted.chat_id)
    assert reply["content"] == numbered(3)
    assert [part["type"] for part in reply["parts"]] == ["step-start", "reasoning", "text"]
    assert reply["parts"][1]["text"] == "r1 r2 "
    words = uuid4().hex
    await answer(client, worker, f"{words} [[tokens=1]]", posted.chat_id)
    (asked,) = await groq_control.requests(groq_url, containing=words, ended=1)
    assert [said["content"] for said in asked["body"]["messages"] if said["role"] == "assistant"] == [numbered(3)]


async def test_a_lost_log_with_reasoning_is_told_the_same_from_its_row(
    client: Client, worker: Worker, settings: Settings
) -> None:
    posted, events = await answer(client, worker, "Think [[tokens=3 reasoning=2]]")
    with Redis.from_url(settings.stream_redis_url) as server:
        server.delete(log_key(posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        late = await stream.all()
    kinds = ["reasoning-start", "reasoning-end", "text-start", "text-end"]
    assert [kind for kind in types_of(late) if kind in kinds] == [kind for kind in types_of(events) if kind in kinds]
    assert text_of(late) == text_of(events)


@pytest.fixture
async def qwen(database_url: str, valkey: EmbeddedValkey, groq_url: str) -> AsyncIterator[Worker]:
    """A worker whose model thinks aloud."""
    async with open_worker_for(settings_for(database_url, valkey.url, groq_url, groq_model="qwen/qwen3-32b")) as opened:
        yield opened


async def test_a_model_that_thinks_aloud_is_asked_to_keep_its_reasoning_apart(
    client: Client, qwen: Worker, groq_url: str
) -> None:
    words = uuid4().hex
    posted = await post(client, f"{words} [[tokens=1]]")
    await qwen.attempts.run(posted.generation_id)
    (asked,) = await groq_control.requests(groq_url, containing=words, ended=1)
    assert asked["body"]["reasoning_format"] == "parsed"


async def test_a_model_thinks_little_of_what_nobody_waits_for(
    database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> None:
    words = uuid4().hex
    settings = settings_for(database_url, valkey.url, groq_url, groq_model="openai/gpt-oss-120b")
    model = groq_model(settings, model_catalog(settings))
    request = ModelRequest("openai/gpt-oss-120b", [ModelMessage("user", words)], max_tokens=10)
    await ask_whole(model, replace(request, is_brief=True))
    await anext(model.stream(request))
    await model.aclose()
    for_nobody, for_a_reader = await groq_control.requests(groq_url, containing=words, ended=2)
    assert for_nobody["body"]["reasoning_effort"] == "low"
    assert "reasoning_effort" not in for_a_reader["body"]


async def test_a_model_thinks_as_hard_as_the_setting_says_where_it_knows_efforts(
    database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> None:
    words = uuid4().hex
    settings = settings_for(
        database_url,
        valkey.url,
        groq_url,
        groq_model="openai/gpt-oss-120b",
        groq_models=("double",),
        model_reasoning_effort="high",
    )
    model = groq_model(settings, model_catalog(settings))
    request = ModelRequest("openai/gpt-oss-120b", [ModelMessage("user", words)], max_tokens=10)
    await ask_whole(model, request)
    await ask_whole(model, replace(request, is_brief=True))
    await ask_whole(model, replace(request, model="double"))
    await model.aclose()
    asked = await groq_control.requests(groq_url, containing=words, ended=3)
    assert [one["body"].get("reasoning_effort") for one in asked] == ["high", "low", None]


async def test_a_request_that_can_not_be_written_is_rejected(
    database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> None:
    settings = settings_for(database_url, valkey.url, groq_url)
    model = groq_model(settings, model_catalog(settings))
    tool = ToolDescription("count", "Counts.", {"maximum": 2**64})
    with pytest.raises(ModelRejected):
        await ask_whole(model, ModelRequest("double", [ModelMessage("user", "Hello")], (tool,)))
    await model.aclose()


async def test_a_connection_that_is_not_accepted_in_time_is_tried_again(
    database_url: str, valkey: EmbeddedValkey
) -> None:
    waits: list[RetryNotice | ModelChunk] = []

    async def ask(model: ChatModel) -> None:
        async for said in model.stream(ModelRequest("double", [ModelMessage("user", "Hello")])):
            waits.append(said)  # noqa: PERF401 - what came before the failure counts

    with ExitStack() as sockets:
        full = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for one in [sockets.enter_context(socket.socket()) for _ in range(3)]:
            one.settimeout(0)
            one.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        settings = settings_for(database_url, valkey.url, url)
        model = groq_model(settings, model_catalog(settings), connect_timeout=0.1)
        with pytest.raises(ModelUnavailable):
            await ask(RetryingModel(model, fallback=None))
        await model.aclose()
    assert [type(again) for again in waits] == [RetryNotice, RetryNotice]
