"""The trash and the workers: nothing is made for a chat there, and after a while the chat is deleted for good."""

from datetime import timedelta
from uuid import uuid4

import pytest

from services.worker.look_up.port import Scope
from services.worker.runtime import Worker
from services.worker.trash import BATCH
from shared.chats.trash import MAX_CHATS, move_to_trash, restore
from shared.ids import ChatId, UserId
from shared.memory import summaries
from shared.memory.chat_memory import read_memory
from shared.settings import Settings
from tests.doubles import groq_control
from tests.support.clients import Client, numbered, text_of, types_of
from tests.support.feeds import ready_tab
from tests.support.summaries import say
from tests.support.turns import AGE, SAID, Noted, answer, execute, post, speaking

TRASH_ALL = "UPDATE chats SET deleted_at = now()"
"""As a trash that nobody has told anybody of."""
RESTORE_ALL = "UPDATE chats SET deleted_at = NULL"


async def trash(client: Client, chat: int) -> None:
    """Move a chat to the trash."""
    assert (await client.http.post(f"/api/chats/{chat}/trash")).status_code == 204


def owner(database_url: str) -> UserId:
    """The only user."""
    ((user_id,),) = execute(database_url, "SELECT id FROM users")
    return UserId(int(str(user_id)))


def age(database_url: str, days: float) -> None:
    """Have everything lain in the trash for so long."""
    execute(database_url, "UPDATE chats SET deleted_at = now() - make_interval(secs => %s)", days * 86_400)


async def test_an_answer_stops_when_its_chat_goes_to_the_trash_and_keeps_what_was_said(
    client: Client, worker: Worker, groq_url: str
) -> None:
    words = uuid4().hex
    async with speaking(client, worker, words) as speech:
        await trash(client, speech.posted.chat_id)
        seen = await speech.end()
        assert speech.stream.done
    assert types_of(seen)[-1] == "abort"
    (asked,) = await groq_control.requests(groq_url, containing=words, ended=1)
    assert asked["outcome"] == "abandoned"
    assert (await client.http.get(speech.posted.stream_url)).status_code == 404
    (await client.http.post(f"/api/chats/{speech.posted.chat_id}/restore")).raise_for_status()
    _, reply = await client.messages(speech.posted.chat_id)
    assert (reply["status"], reply["content"]) == ("cancelled", numbered(SAID))
    async with client.read(speech.posted.stream_url) as stream:
        assert text_of(await stream.all()) == numbered(SAID)


async def test_nothing_is_answered_in_the_trash_and_the_sweep_cancels_what_waits_there(
    client: Client, worker: Worker, database_url: str
) -> None:
    posted = await post(client, "[[tokens=2]]")
    execute(database_url, TRASH_ALL)
    await worker.attempts.run(posted.generation_id)
    status = "SELECT status, attempt FROM generations"
    assert execute(database_url, status) == [("queued", 0)]
    await worker.sweep()
    assert execute(database_url, status) == [("cancelled", 0)]
    execute(database_url, AGE)
    await worker.sweep()
    execute(database_url, RESTORE_ALL)
    _, reply = await client.messages(posted.chat_id)
    assert (reply["status"], reply["generation"]["is_final"]) == ("cancelled", True)


async def test_no_summary_is_made_in_the_trash(client: Client, worker: Worker, database_url: str, noted: Noted) -> None:
    chat = ChatId(await client.new_chat())
    say(database_url, chat, *["Hello", "Indeed."] * 6)
    execute(database_url, "UPDATE chats SET summary_due_at = now() - interval '1 hour'")
    async with worker.trash.database.connect() as db:
        claimed = await summaries.claim(db, chat, timedelta(), even_if_not_due=True)
        assert claimed is not None
        execute(database_url, TRASH_ALL)
        assert await summaries.claim(db, chat, timedelta(), even_if_not_due=True) is None
        assert not await summaries.mark_due(db, chat, 1)
        await db.execute(summaries.failed(claimed))
    execute(database_url, "UPDATE chats SET summary_due_at = now() - interval '1 hour'")
    await worker.summarizer.resend_lost()
    assert (noted.chats, execute(database_url, "SELECT summary_failures FROM chats")) == ([], [(0,)])
    execute(database_url, RESTORE_ALL)
    await worker.summarizer.resend_lost()
    assert noted.chats == [chat]


async def test_no_title_is_made_in_the_trash(client: Client, worker: Worker, database_url: str) -> None:
    posted, _ = await answer(client, worker, "[[tokens=1]] tides")
    execute(database_url, TRASH_ALL)
    before = execute(database_url, "SELECT title, title_by, title_tries FROM chats")
    await worker.titles.make(posted.generation_id)
    assert execute(database_url, "SELECT title, title_by, title_tries FROM chats") == before
    execute(database_url, RESTORE_ALL)
    await worker.titles.make(posted.generation_id)
    assert execute(database_url, "SELECT title, title_by, title_tries FROM chats") != before


async def test_other_chats_know_nothing_of_the_trash(client: Client, worker: Worker, database_url: str) -> None:
    chat, other = await client.new_chat(), ChatId(await client.new_chat())
    fact = {"text": "I am vegetarian.", "kind": "preference"}
    (await client.http.patch(f"/api/chats/{chat}/memory", json={"facts": [fact]})).raise_for_status()
    (await client.http.patch("/api/memory", json={"enabled": True})).raise_for_status()

    async def known() -> int:
        async with worker.trash.database.connect() as db:
            memory = await read_memory(db, other)
        return len(memory.shared) if memory else -1

    assert await known() == 1
    await trash(client, chat)
    assert await known() == 0
    (await client.http.post(f"/api/chats/{chat}/restore")).raise_for_status()
    assert await known() == 1


async def test_nothing_is_looked_up_in_the_trash(client: Client, worker: Worker, database_url: str) -> None:
    chat = ChatId(await client.new_chat())
    say(database_url, chat, "a red kite", "Indeed.")
    execute(database_url, "UPDATE chats SET summary_position = 2")
    await worker.backfill.run()
    index, scope = worker.summarizer.index, Scope(owner(database_url), chat, upto=2)
    assert len(await index.find(scope, "kite", limit=3)) == 1
    execute(database_url, TRASH_ALL)
    assert await index.find(scope, "kite", limit=3) == []


async def test_a_sweep_deletes_for_good_what_has_been_in_the_trash_for_long(
    client: Client, worker: Worker, database_url: str, settings: Settings
) -> None:
    posted, _ = await answer(client, worker, "[[tokens=1]]")
    await trash(client, posted.chat_id)
    age(database_url, settings.chat_trash_days - 0.1)
    kept = await client.new_chat()
    await worker.sweep()
    assert execute(database_url, "SELECT id FROM chats ORDER BY id") == [(posted.chat_id,), (kept,)]
    execute(database_url, "UPDATE chats SET deleted_at = deleted_at - interval '1 day' WHERE deleted_at IS NOT NULL")
    await worker.sweep()
    assert execute(database_url, "SELECT id FROM chats") == [(kept,)]
    for table in ("messages", "generations"):
        assert execute(database_url, f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608 - a name of ours


async def test_one_pass_deletes_so_many_and_the_next_one_the_rest(
    client: Client, worker: Worker, database_url: str, settings: Settings
) -> None:
    await client.new_chat()
    execute(database_url, f"INSERT INTO chats (user_id) SELECT user_id FROM chats, generate_series(1, {BATCH})")  # noqa: S608
    age(database_url, settings.chat_trash_days + 1)
    for left in (1, 0):
        await worker.trash.empty()
        assert execute(database_url, "SELECT count(*) FROM chats") == [(left,)]


async def test_readers_are_told_of_what_goes_to_the_trash_and_comes_back(client: Client) -> None:
    chat = (await client.http.post("/api/chats", json={"title": "Sea"})).raise_for_status().json()
    async with ready_tab(client) as tab:
        await trash(client, chat["id"])
        *_, gone = await tab.until("chat.deleted")
        (await client.http.post(f"/api/chats/{chat['id']}/restore")).raise_for_status()
        created, renamed = await tab.until("chat.renamed")
    assert gone.part == {"type": "chat.deleted", "chat_id": chat["id"]}
    told = {"chat_id": chat["id"], "title": "Sea", "temporary": False, "created_at": chat["created_at"]}
    assert created.part == {"type": "chat.created", **told}
    assert renamed.part == {"type": "chat.renamed", "chat_id": chat["id"], "title": "Sea", "title_by": "user"}


async def test_many_chats_move_at_once_each_once_and_only_the_users_own(
    client: Client, worker: Worker, database_url: str
) -> None:
    chats = [ChatId(await client.new_chat()) for _ in range(3)]
    user = owner(database_url)
    database = worker.trash.database
    for moved in (chats, []):
        async with database.begin() as db:
            assert (await move_to_trash(db, user, [*chats[::-1], ChatId(10**9)])).chat_ids == moved
    async with database.begin() as db:
        assert await restore(db, UserId(user + 1), chats) == []
    for restored in (chats[:2], []):
        async with database.begin() as db:
            assert [chat.id for chat in await restore(db, user, chats[:2])] == restored
    for move in (move_to_trash, restore):
        with pytest.raises(ValueError, match="at most 100"):
            async with database.begin() as db:
                await move(db, user, [ChatId(number) for number in range(MAX_CHATS + 1)])
