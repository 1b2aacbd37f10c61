"""Deleting a chat or an account while it is being answered: it stops, readers are told, nothing comes back."""

import asyncio
from collections import Counter
from contextlib import suppress
from uuid import uuid4

import httpx
import psycopg
import pytest
from redis import Redis

from services.worker.runtime import Worker
from shared.protocol import frames
from shared.protocol.encoding import encode_all
from shared.settings import Settings
from shared.streams.names import log_key
from shared.streams.removal import LAST_MS
from tests.doubles import groq_control
from tests.support.clients import Client, types_of
from tests.support.turns import answer, execute, post, speaking, wait_for_waiters


async def test_deleting_a_chat_stops_its_answer(
    client: Client, worker: Worker, settings: Settings, database_url: str, groq_url: str
) -> None:
    words = uuid4().hex
    async with speaking(client, worker, words) as speech:
        assert (await client.http.delete(f"/api/chats/{speech.posted.chat_id}")).status_code == 204
        seen = await speech.end()
        assert speech.stream.done
    assert types_of(seen)[-3:] == ["text-end", "message-metadata", "abort"]
    assert seen[-2].part["messageMetadata"] == {"status": "deleted"}
    (asked,) = await groq_control.requests(groq_url, containing=words, ended=1)
    assert asked["outcome"] == "abandoned"
    await worker.attempts.run(speech.posted.generation_id)
    await worker.recovery.sweep()
    with Redis.from_url(settings.stream_redis_url) as server:
        key = log_key(speech.posted.generation_id)
        assert server.xlen(key) == seen[-1].sequence
        assert 0 < server.pttl(key) <= LAST_MS
    for table in ("chats", "messages", "generations"):
        assert execute(database_url, f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608 - a name of ours
    assert (await client.http.get(speech.posted.stream_url)).status_code == 404


async def test_deleting_the_account_stops_all_of_its_answers(
    client: Client, worker: Worker, settings: Settings, database_url: str
) -> None:
    async with speaking(client, worker) as one, speaking(client, worker) as another:
        assert (await client.http.delete("/api/auth/me")).status_code == 204
        for speech in (one, another):
            with suppress(httpx.RemoteProtocolError):  # its session is over, for which a stream is cut
                await speech.end()
    with Redis.from_url(settings.stream_redis_url) as server:
        logs = [server.xrange(log_key(speech.posted.generation_id)) for speech in (one, another)]
    assert [tuple(fields[b"frame"] for _, fields in log[-2:]) for log in logs] == [
        encode_all(frames.aborted("deleted"))
    ] * 2
    for table in ("users", "chats", "messages", "generations"):
        assert execute(database_url, f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608 - a name of ours
    assert (await client.http.get("/api/auth/me")).status_code == 401
    assert (await client.http.delete("/api/auth/me")).status_code == 401


@pytest.mark.parametrize("gone", ["chats/{chat}", "chats/{chat}/messages/{message}"])
async def test_what_is_deleted_can_be_read_in_redis_no_more(
    client: Client, worker: Worker, settings: Settings, gone: str
) -> None:
    kept, _ = await answer(client, worker, "[[tokens=2]]")
    posted, _ = await answer(client, worker, "[[tokens=2]]")
    question, _ = await client.messages(posted.chat_id)
    path = gone.format(chat=posted.chat_id, message=question["id"])
    with Redis.from_url(settings.stream_redis_url) as server:
        keys = [log_key(one.generation_id) for one in (kept, posted)]
        assert server.exists(*keys) == 2
        (await client.http.delete(f"/api/{path}")).raise_for_status()
        assert [server.exists(key) for key in keys] == [1, 0]


async def test_deleting_a_chat_while_it_is_written_to_does_one_then_the_other(
    client: Client, database_url: str
) -> None:
    statuses: Counter[tuple[int, int]] = Counter()
    for _ in range(30):
        chat = await client.new_chat()
        said, deleted = await asyncio.gather(client.post_async(chat, "Hello"), client.http.delete(f"/api/chats/{chat}"))
        statuses[said.status_code, deleted.status_code] += 1
    assert set(statuses) <= {(202, 204), (404, 204)}
    assert execute(database_url, "SELECT count(*) FROM generations") == [(0,)]


@pytest.mark.parametrize("gone", ["chats/{chat}", "auth/me", "chats/{chat}/messages/{message}"])
async def test_a_deletion_waits_for_an_answer_that_is_being_saved_and_not_the_other_way_round(
    client: Client, database_url: str, gone: str
) -> None:
    posted = await post(client, "Hello")
    question, reply = await client.messages(posted.chat_id)
    path = gone.format(chat=posted.chat_id, message=question["id"])
    with psycopg.connect(database_url) as saving, psycopg.connect(database_url, autocommit=True) as watching:
        # In the order in which a worker saves: the generation, and then its reply.
        saving.execute("UPDATE generations SET finish_reason = 'stop' WHERE id = %s", [posted.generation_id])
        deletion = asyncio.create_task(client.http.delete(f"/api/{path}"))
        await asyncio.to_thread(wait_for_waiters, watching, 1)
        saving.execute("UPDATE messages SET content = 'Hi' WHERE id = %s", [reply["id"]])
    assert (await deletion).status_code == 204


async def test_whatever_is_done_to_an_answer_at_once_it_ends_once(
    client: Client, worker: Worker, database_url: str
) -> None:
    for _ in range(2):  # with a stop for each answer and a deletion for each second one, 120 races
        await race(client, worker, database_url)


async def race(client: Client, worker: Worker, database_url: str) -> None:
    """Forty answers, all of them made and stopped, half of them deleted, at the same time."""
    execute(database_url, "DELETE FROM chats")
    posted = [await post(client, "[[tokens=2]]") for _ in range(40)]
    deleted = [turn.chat_id for turn in posted[::2]]
    async with asyncio.TaskGroup() as tasks:
        for turn in posted:
            tasks.create_task(worker.attempts.run(turn.generation_id))
        cancel_signals = [
            tasks.create_task(client.http.post(f"/api/generations/{turn.generation_id}/cancel")) for turn in posted
        ]
        deletions = [tasks.create_task(client.http.delete(f"/api/chats/{chat}")) for chat in deleted]
    assert {stop.result().status_code for stop in cancel_signals} <= {200, 404}
    assert {deletion.result().status_code for deletion in deletions} == {204}
    left = execute(database_url, "SELECT chat_id, status FROM generations ORDER BY chat_id")
    assert [chat for chat, _ in left] == sorted(turn.chat_id for turn in posted[1::2])
    assert {status for _, status in left} <= {"completed", "cancelled"}
    mismatched = "SELECT count(*) FROM generations g JOIN messages m ON m.id = g.assistant_message_id"
    assert execute(database_url, f"{mismatched} WHERE m.status <> g.status") == [(0,)]
