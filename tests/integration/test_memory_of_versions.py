"""What a chat's memory makes of versions: what was made of replaced messages goes, and gaps count for nothing."""

from uuid import uuid4

from services.worker.runtime import Worker
from shared.ids import ChatId
from tests.doubles import groq_control
from tests.support.clients import Client, numbered
from tests.support.summaries import memory_of, segments_of
from tests.support.summaries import say as put
from tests.support.turns import Noted, execute
from tests.support.versions import answered, choose, edit, regenerate, say

TWO = numbered(2)


async def test_what_was_made_of_replaced_messages_is_forgotten_and_made_anew(
    client: Client, worker: Worker, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    put(database_url, chat, *[f"{mark} number {n}" for n in range(1, 13)])
    await worker.summarizer.summarize(ChatId(chat))
    covered = memory_of(database_url, chat)[1]
    assert covered == 6
    fifth = (await client.messages(chat))[4]
    await answered(worker, await edit(client, chat, fifth["id"], f"{mark} [[tokens=2]] other"))
    assert [segment[:2] for segment in segments_of(database_url, chat)] == [(1, 3)]
    memory = (await client.http.get(f"/api/chats/{chat}/memory")).json()
    assert (memory["watermark"], memory["pending"]) == (3, 3)
    assert execute(
        database_url,
        "SELECT count(*) FROM message_terms JOIN messages ON messages.id = message_id WHERE replaced",
    ) == [(0,)]
    asked = (await groq_control.requests(groq_url, containing=f"{mark} [[tokens=2]] other", ended=1))[-1]
    told = str(asked["body"]["messages"])
    assert f"{mark} number 4" in told
    assert not any(f"{mark} number {n}" in told for n in range(5, 13))


async def test_gaps_count_for_nothing(client: Client, worker: Worker, chat: int, noted: Noted) -> None:
    first = await say(client, worker, chat, "[[tokens=2]] one")
    for _ in range(12):
        await answered(worker, await regenerate(client, chat, first["message"]["id"]))
    noted.chats.clear()
    await worker.summarizer.ask_if_due(ChatId(chat))
    assert noted.chats == []
    assert (await client.http.get(f"/api/chats/{chat}/memory")).json()["pending"] == 2


async def test_a_version_that_is_chosen_again_is_summarized_again(
    client: Client, worker: Worker, chat: int, database_url: str
) -> None:
    mark = uuid4().hex
    put(database_url, chat, *[f"{mark} number {n}" for n in range(1, 13)])
    fifth = (await client.messages(chat))[4]
    await answered(worker, await edit(client, chat, fifth["id"], f"{mark} [[tokens=2]] other"))
    put(database_url, chat, *[f"{mark} later {n}" for n in range(1, 11)])
    await worker.summarizer.summarize(ChatId(chat))
    before = memory_of(database_url, chat)[1]
    await choose(client, chat, fifth["id"])
    assert memory_of(database_url, chat)[1] == 3
    execute(database_url, "UPDATE chats SET summary_due_at = now() WHERE id = %s", chat)
    await worker.summarizer.summarize(ChatId(chat))
    assert memory_of(database_url, chat)[1] == 6
    assert before != 6


async def test_what_a_person_wrote_into_the_memory_stays(client: Client, worker: Worker, chat: int) -> None:
    written = {"summary": "We speak German.", "facts": [{"text": "I am Ada", "pinned": True}]}
    await client.http.patch(f"/api/chats/{chat}/memory", json=written)
    first = await say(client, worker, chat, "[[tokens=2]] one")
    await edit(client, chat, first["message"]["id"], "two")
    memory = (await client.http.get(f"/api/chats/{chat}/memory")).json()
    assert (memory["summary"], [fact["text"] for fact in memory["facts"]]) == ("We speak German.", ["I am Ada"])
