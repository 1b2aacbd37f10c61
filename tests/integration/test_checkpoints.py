"""Partial text in PostgreSQL: what is left when Redis loses its data and the worker dies; and when a model can't go on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from shared.generations.close_log import save_text
from shared.generations.progress import checkpoint
from shared.settings import Settings
from shared.streams.redis import log_key
from tests.conftest import settings_for
from tests.doubles import groq_control
from tests.support.clients import Client, Event, numbered, text_of, types_of
from tests.support.turns import SAID, Posted, abandoned, execute, open_worker_for, post, speaking

EXPIRE = "UPDATE generations SET lease_expires_at = now() - interval '1 second' WHERE status = 'running'"


async def test_partial_text_is_saved_while_the_answer_streams(client: Client, worker: Worker) -> None:
    async with speaking(client, worker) as speech:
        await worker.attempts.checkpoints.save()
        reply = (await client.messages(speech.posted.chat_id))[1]
    assert (reply["content"], reply["status"]) == (numbered(SAID), "pending")


async def test_partial_text_is_saved_by_itself_every_second(client: Client, worker: Worker, database_url: str) -> None:
    async with speaking(client, worker) as speech:
        async with asyncio.timeout(5):
            while (await client.messages(speech.posted.chat_id))[1]["content"] != numbered(SAID):
                pass
    assert execute(database_url, "SELECT status FROM generations") == [("running",)]


async def test_partial_text_never_replaces_what_is_final(client: Client, worker: Worker, database_url: str) -> None:
    posted = await post(client, "[[tokens=3]]")
    await worker.attempts.run(posted.generation_id)
    async with worker.attempts.database.connect() as db:
        await db.execute(checkpoint([(posted.generation_id, 1, numbered(3) + "and more")]))
    assert (await client.messages(posted.chat_id))[1]["content"] == numbered(3)


async def test_partial_text_of_an_attempt_that_is_over_is_not_saved(client: Client, worker: Worker) -> None:
    async with speaking(client, worker) as speech:
        async with worker.attempts.database.connect() as db:
            await db.execute(checkpoint([(speech.posted.generation_id, 2, "From the future")]))
            await db.execute(checkpoint([(speech.posted.generation_id, 0, "From the past")]))
        assert (await client.messages(speech.posted.chat_id))[1]["content"] == ""


async def test_saving_waits_for_nobody(client: Client, worker: Worker) -> None:
    async with speaking(client, worker) as speech, worker.attempts.database.begin() as holding:
        await holding.execute(save_text((await client.messages(speech.posted.chat_id))[1]["id"], ""))
        await asyncio.wait_for(worker.attempts.checkpoints.save(), 2)


async def half_said(
    client: Client, worker: Worker, die: Callable[[Posted], Awaitable[None]]
) -> tuple[Posted, list[Event]]:
    """An answer of 20 tokens whose worker dies after five; what its reader saw until then and what it was cut by."""
    posted = await post(client, f"{uuid4().hex} [[tokens=20 fault=stall after=5 once=1]]")
    dying = asyncio.create_task(worker.attempts.run(posted.generation_id))
    seen: list[Event] = []
    async with client.read(posted.stream_url) as stream:
        events = stream.events()
        while text_of(seen) != numbered(SAID):
            seen.append(await anext(events))
        await worker.attempts.checkpoints.save()
        dying.cancel()
        await asyncio.wait([dying])
        await die(posted)
        await worker.attempts.run(posted.generation_id)
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(events)
    return posted, seen


async def test_an_answer_survives_the_loss_of_redis_and_its_worker(
    client: Client, worker: Worker, settings: Settings, database_url: str
) -> None:
    async def lose_everything(posted: Posted) -> None:
        with Redis.from_url(settings.stream_redis_url) as server:
            server.delete(log_key(posted.generation_id))
        execute(database_url, EXPIRE)
        await worker.recovery.sweep()

    posted, seen = await half_said(client, worker, lose_everything)
    async with client.read(posted.stream_url, seen[-1].id) as stream:
        events = await stream.all()
        assert stream.done
    assert stream.transient_frames == [{"type": "data-reset", "data": {}, "transient": True}]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert text_of(events) == numbered(20) == (await client.messages(posted.chat_id))[1]["content"]


async def test_an_answer_survives_the_loss_of_its_logs_end_and_its_worker(
    client: Client, worker: Worker, settings: Settings, database_url: str
) -> None:
    async def lose_the_end(posted: Posted) -> None:
        with Redis.from_url(settings.stream_redis_url) as server:
            entries = [entry for entry, _ in server.xrange(log_key(posted.generation_id))]
            server.xdel(log_key(posted.generation_id), *entries[-1:])
        execute(database_url, EXPIRE)
        await worker.recovery.sweep()

    posted, seen = await half_said(client, worker, lose_the_end)
    async with client.read(posted.stream_url, seen[-1].id) as stream:
        events = await stream.all()
    assert text_of(events) == numbered(20) == (await client.messages(posted.chat_id))[1]["content"]


@pytest.fixture(
    params=[{"model_prefill": False}, {"groq_model": "openai/gpt-oss-120b"}], ids=["by setting", "by model"]
)
async def unable(
    request: pytest.FixtureRequest, database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> AsyncIterator[Worker]:
    """A worker whose model can't go on where an answer broke off."""
    settings = settings_for(database_url, valkey.url, groq_url, **request.param)
    async with open_worker_for(settings) as opened:
        yield opened


async def test_a_model_that_can_not_go_on_begins_a_new_paragraph_and_says_so(
    client: Client, unable: Worker, database_url: str
) -> None:
    question = f"{uuid4().hex} [[tokens=12 fault=stall after=5 once=1]]"  # the double counts by conversation
    async with abandoned(client, unable, question, numbered(5)) as speech:
        posted = speech.posted
        execute(database_url, EXPIRE)
        await unable.recovery.sweep()
        await unable.attempts.run(posted.generation_id)
        seen = await speech.end()
    retry = ["text-end", "finish-step", "data-retry", "start-step", "text-start", "text-delta", "data-status"]
    assert [kind for kind in types_of(seen) if kind in {*retry, "finish"}][4:11] == retry
    assert [event.part["data"] for event in seen if event.part["type"] == "data-retry"] == [{"attempt": 2}]
    assert text_of(seen) == numbered(5) + "\n\n" + numbered(12)
    assert (await client.messages(posted.chat_id))[1]["content"] == text_of(seen)


@pytest.fixture
async def backed(database_url: str, valkey: EmbeddedValkey, groq_url: str) -> AsyncIterator[Worker]:
    """A worker whose model can go on where an answer broke off, and whose fallback model can't."""
    settings = settings_for(database_url, valkey.url, groq_url, groq_fallback_model="openai/gpt-oss-20b")
    async with open_worker_for(settings) as opened:
        yield opened


@pytest.mark.parametrize(
    ("refusals", "text", "models"),
    [
        (0, numbered(12), ["double"]),
        (3, numbered(5) + "\n\n" + numbered(12), ["double"] * 4),
        (6, numbered(5) + "\n\n" + numbered(12), ["double"] * 6 + ["openai/gpt-oss-20b"]),
    ],
    ids=["goes on", "begins again", "begins again with the fallback"],
)
async def test_a_fallback_that_can_not_go_on_answers_only_when_the_model_does_not(
    client: Client, backed: Worker, database_url: str, groq_url: str, refusals: int, text: str, models: list[str]
) -> None:
    words = uuid4().hex
    question = f"{words} [[tokens=12 fault=stall after=5 once=1]]"
    async with abandoned(client, backed, question, numbered(5)) as speech:
        execute(database_url, EXPIRE)
        await backed.recovery.sweep()
        if refusals:
            await groq_control.script(groq_url, "fault=503 retry_after=0", times=refusals, marker=words)
        await backed.attempts.run(speech.posted.generation_id)
        seen = await speech.end()
    assert text_of(seen) == text
    assert (await client.messages(speech.posted.chat_id))[1]["content"] == text
    asked = await groq_control.requests(groq_url, containing=words, ended=len(models) + 1)
    assert [request["body"]["model"] for request in asked[1:]] == models
