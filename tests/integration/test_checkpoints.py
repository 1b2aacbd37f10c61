"""Partial text in PostgreSQL: what is left when Redis loses its data and the worker dies."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from services.worker.runtime import Worker
from shared.generations.close_log import save_text
from shared.generations.progress import checkpoint
from shared.settings import Settings
from shared.streams.names import log_key
from tests.support.clients import Client, Event, numbered, text_of
from tests.support.turns import SAID, Posted, execute, post, speaking

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
