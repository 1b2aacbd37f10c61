"""Temporary chats: they know nothing of other chats, and are deleted a while after their last message."""

from dataclasses import replace

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from services.worker.runtime import Worker
from services.worker.temporary_chats import BATCH
from shared.database.engine import open_database
from shared.ids import ChatId
from shared.memory.chat_memory import read_memory
from shared.settings import Settings
from tests.support.clients import Client
from tests.support.turns import answer, execute, logged, post

TABLES = ("chats", "messages", "generations", "memory_segments", "memory_facts")


async def new_chat(client: Client) -> int:
    """Make a temporary chat. Returns its id."""
    return int((await client.http.post("/api/chats", json={"temporary": True})).raise_for_status().json()["id"])


def age(database_url: str, hours: float) -> None:
    """Set the last message of all chats back."""
    execute(database_url, "UPDATE chats SET last_message_at = now() - make_interval(secs => %s)", hours * 3600)


def chats(database_url: str) -> list[object]:
    """The ids of the chats that are there."""
    return [row[0] for row in execute(database_url, "SELECT id FROM chats ORDER BY id")]


async def test_a_temporary_chat_is_deleted_with_all_that_belongs_to_it(
    client: Client, worker: Worker, database_url: str, settings: Settings
) -> None:
    chat, kept = await new_chat(client), await client.new_chat()
    posted, _ = await answer(client, worker, "[[tokens=2]]", chat)
    memory = {"summary": "So far.", "facts": [{"text": "I am 40."}]}
    (await client.http.patch(f"/api/chats/{chat}/memory", json=memory)).raise_for_status()
    age(database_url, settings.temporary_chat_hours - 0.1)
    await worker.sweep()
    assert chats(database_url) == [chat, kept]
    age(database_url, settings.temporary_chat_hours + 0.1)
    await worker.sweep()
    assert chats(database_url) == [kept]
    for table in TABLES[1:]:
        assert execute(database_url, f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608 - a name of ours
    for url in (posted.stream_url, f"/api/generations/{posted.generation_id}"):
        gone = await client.http.get(url)
        assert (gone.status_code, gone.json()["code"]) == (404, "generation_not_found")
    assert (await client.http.get(f"/api/chats/{chat}/stream")).json()["code"] == "chat_not_found"


async def test_a_sweep_whose_first_step_fails_deletes_them_all_the_same(
    client: Client, worker: Worker, database_url: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await new_chat(client)
    age(database_url, settings.temporary_chat_hours + 1)
    nowhere = open_database("postgresql+psycopg://127.0.0.1:1/nowhere", pool_size=1)
    with pytest.raises(OperationalError):
        await replace(worker, recovery=replace(worker.recovery, database=nowhere)).sweep()
    assert chats(database_url) == []
    (line,) = logged(caplog, "sweep_step_failed")
    assert (line["step"], line["error"]) == ("Recovery.sweep", "OperationalError")


async def test_readers_are_told_the_same_as_after_a_deletion(
    client: Client, worker: Worker, database_url: str, settings: Settings
) -> None:
    expired, _ = await answer(client, worker, "[[tokens=2]]", await new_chat(client))
    age(database_url, settings.temporary_chat_hours + 1)
    deleted, _ = await answer(client, worker, "[[tokens=2]]", await new_chat(client))
    await client.http.delete(f"/api/chats/{deleted.chat_id}")
    await worker.sweep()
    assert chats(database_url) == []
    one, another = [await client.http.get(turn.stream_url) for turn in (expired, deleted)]
    assert (one.status_code, one.content) == (another.status_code, another.content)


async def test_a_chat_that_is_being_answered_is_not_deleted_yet(
    client: Client, worker: Worker, database_url: str, settings: Settings
) -> None:
    chat = await new_chat(client)
    posted = await post(client, "[[tokens=2]]", chat)
    age(database_url, settings.temporary_chat_hours + 1)
    await worker.sweep()
    assert chats(database_url) == [chat]
    await worker.attempts.run(posted.generation_id)
    await worker.sweep()
    assert chats(database_url) == []


async def test_one_pass_deletes_so_many_and_the_next_one_the_rest(
    client: Client, worker: Worker, database_url: str, settings: Settings
) -> None:
    await new_chat(client)
    execute(
        database_url,
        f"INSERT INTO chats (user_id, is_temporary) SELECT user_id, true FROM chats, generate_series(1, {BATCH})",  # noqa: S608
    )
    age(database_url, settings.temporary_chat_hours + 1)
    await worker.temporary_chats.delete_expired()
    assert len(chats(database_url)) == 1
    await worker.temporary_chats.delete_expired()
    assert chats(database_url) == []


async def test_a_chat_that_somebody_else_is_changing_is_left_for_later(
    client: Client, worker: Worker, database_url: str, settings: Settings
) -> None:
    chat, another = await new_chat(client), await new_chat(client)
    age(database_url, settings.temporary_chat_hours + 1)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT 1 FROM chats WHERE id = %s FOR UPDATE", (chat,))
        await worker.sweep()
        assert chats(database_url) == [chat]
    assert another != chat
    await worker.sweep()
    assert chats(database_url) == []


async def test_a_temporary_chat_knows_nothing_of_other_chats(client: Client, worker: Worker) -> None:
    fact = {"text": "I am vegetarian.", "kind": "preference"}
    (await client.http.patch("/api/memory", json={"enabled": True, "facts": [fact]})).raise_for_status()
    async with worker.temporary_chats.database.connect() as db:
        known = [await read_memory(db, ChatId(chat)) for chat in (await client.new_chat(), await new_chat(client))]
    assert [len(memory.shared) if memory else None for memory in known] == [1, 0]
