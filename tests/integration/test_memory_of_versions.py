"""What a chat's memory makes of versions: what was made of replaced messages goes, and gaps count for nothing."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import httpx
import pytest

from services.worker.look_up.port import Scope
from services.worker.look_up.postgres import PostgresIndex
from services.worker.runtime import Worker
from services.worker.summaries.messages import next_messages
from services.worker.summaries.summarizer import Summarizer
from shared.ids import ChatId, UserId
from tests.doubles import groq_control
from tests.support.clients import Client, numbered
from tests.support.feeds import ready_tab
from tests.support.summaries import memory_of, requested, segments_of
from tests.support.summaries import say as put
from tests.support.turns import Noted, execute
from tests.support.versions import answered, choose, delete, edit, regenerate, say

TWO = numbered(2)

Change = Callable[[Client, int, list[int]], Awaitable[httpx.Response]]
CHANGES: dict[str, Change] = {
    "regenerate": lambda client, chat, ids: regenerate(client, chat, ids[9]),
    "edit": lambda client, chat, ids: edit(client, chat, ids[10], "other"),
    "delete the last turn": lambda client, chat, ids: delete(client, chat, ids[11]),
    "make anew": lambda client, chat, _: client.http.delete(f"/api/chats/{chat}/memory"),
}
"""What is done first to a chat of twelve messages with these ids."""


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_a_person_wrote_in_the_release_before_stays(
    client: Client, chat: int, database_url: str, change: Change
) -> None:
    """That release left its memory in the chat's row, up to the last message."""
    put(database_url, chat, *[f"I like number {n}." for n in range(1, 13)])
    facts = """[{"text": "Mine.", "position": null, "pinned": true}, {"text": "I like number 3.", "position": 3, "pinned": true},
        {"text": "I like number 11.", "position": 11, "pinned": false}]"""
    execute(database_url, "UPDATE chats SET summary = 'All.', summary_position = 12, facts = %s::jsonb", facts)
    response = await change(client, chat, [message["id"] for message in await client.messages(chat)])
    assert response.is_success
    memory = (await client.http.get(f"/api/chats/{chat}/memory")).json()
    assert memory["watermark"] == 0
    # What message 11 said is no more of the memory, since that is made anew.
    assert {fact["text"] for fact in memory["facts"]} == {"Mine.", "I like number 3."}


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


async def test_a_question_at_the_end_of_a_segment_is_told_when_it_is_answered_anew(
    client: Client, worker: Worker, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    put(database_url, chat, *[f"{mark} [[tokens=2]] number {n}" for n in range(1, 13)])
    await worker.summarizer.summarize(ChatId(chat))
    assert segments_of(database_url, chat)[0][:2] == (1, 3)
    third = (await client.messages(chat))[2]
    await answered(worker, await regenerate(client, chat, third["id"]))
    assert segments_of(database_url, chat) == []
    asked = (await groq_control.requests(groq_url, containing=f"{mark} [[tokens=2]] number 3", ended=1))[-1]
    told = [str(message["content"]) for message in asked["body"]["messages"]]
    assert told[-1].endswith("number 3")
    assert [any(text.endswith(f"number {n}") for text in told) for n in range(1, 5)] == [True, True, True, False]


async def test_a_question_is_told_though_a_segment_covers_it(
    client: Client, worker: Worker, chat: int, database_url: str, groq_url: str
) -> None:
    """A summarizer may have covered it, since it was asked anew."""
    mark = uuid4().hex
    put(database_url, chat, *[f"{mark} [[tokens=2]] number {n}" for n in range(1, 13)])
    third = (await client.messages(chat))[2]
    accepted = await regenerate(client, chat, third["id"])
    execute(
        database_url,
        "INSERT INTO memory_segments (chat_id, first_position, last_position, text, kind)"
        " VALUES (%s, 1, 3, 'They counted.', 'summary')",
        chat,
    )
    execute(database_url, "UPDATE chats SET summary_position = 3 WHERE id = %s", chat)
    await answered(worker, accepted)
    asked = (await groq_control.requests(groq_url, containing=f"{mark} [[tokens=2]] number 3", ended=1))[-1]
    told = [str(message["content"]) for message in asked["body"]["messages"]]
    assert told[-1].endswith("number 3")
    assert "number 2" not in str(told)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_readers_are_told_when_a_change_of_the_path_takes_of_the_memory(
    client: Client, chat: int, database_url: str, change: Change
) -> None:
    put(database_url, chat, *[f"number {n}" for n in range(1, 13)])
    execute(
        database_url,
        "INSERT INTO memory_segments (chat_id, first_position, last_position, text, kind)"
        " VALUES (%s, 1, 12, 'They counted.', 'summary')",
        chat,
    )
    execute(database_url, "UPDATE chats SET summary_position = 12")
    async with ready_tab(client) as tab:
        assert (await change(client, chat, [message["id"] for message in await client.messages(chat)])).is_success
        await tab.until("memory.changed", chat_id=chat)
        before = len(tab.seen)
        # With nothing left to lose, nothing is told.
        last = (await client.messages(chat))[-1]["id"]
        assert (await regenerate(client, chat, last, on_conflict="interrupt")).is_success
        await tab.until("generation.status", status="queued")
    assert "memory.changed" not in [event.part["type"] for event in tab.seen[before:]]


async def test_readers_are_told_when_a_chosen_version_takes_of_the_memory(
    client: Client, chat: int, database_url: str
) -> None:
    put(database_url, chat, *[f"number {n}" for n in range(1, 13)])
    reply = (await client.messages(chat))[3]["id"]
    await regenerate(client, chat, reply)
    await client.http.post(f"/api/chats/{chat}/stop")
    execute(
        database_url,
        "INSERT INTO memory_segments (chat_id, first_position, last_position, text, kind)"
        " VALUES (%s, 1, 13, 'They counted.', 'summary')",
        chat,
    )
    execute(database_url, "UPDATE chats SET summary_position = 13")
    async with ready_tab(client) as tab:
        assert (await choose(client, chat, reply)).is_success
        events = await tab.until("memory.changed", chat_id=chat)
    assert [event.part["type"] for event in events] == ["messages.changed", "memory.changed"]


async def test_gaps_count_for_nothing(client: Client, worker: Worker, chat: int, noted: Noted) -> None:
    first = await say(client, worker, chat, "[[tokens=2]] one")
    for _ in range(12):
        await answered(worker, await regenerate(client, chat, first["message"]["id"]))
    noted.chats.clear()
    await worker.summarizer.ask_if_due(ChatId(chat))
    assert noted.chats == []
    assert (await client.http.get(f"/api/chats/{chat}/memory")).json()["pending"] == 2


async def test_only_the_active_path_is_summarized_and_what_is_chosen_again_anew(
    client: Client, summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    put(database_url, chat, *[f"{mark} number {n}" for n in range(1, 13)])
    reply = (await client.messages(chat))[3]
    for _ in range(2):
        await regenerate(client, chat, reply["id"])
        await client.http.post(f"/api/chats/{chat}/stop")
    put(database_url, chat, *[f"{mark} later {n}" for n in range(15, 25)])
    await summarizer.summarize(ChatId(chat))
    assert await requested(groq_url, mark) == [[1, 2, 3], [15, 16], [17, 18, 19]]  # the reply at 14 is empty
    assert [segment[:2] for segment in segments_of(database_url, chat)] == [(1, 3), (4, 16), (17, 19)]
    await choose(client, chat, reply["id"])
    assert [segment[:2] for segment in segments_of(database_url, chat)] == [(1, 3)]
    execute(database_url, "UPDATE chats SET summary_due_at = now() WHERE id = %s", chat)
    await summarizer.summarize(ChatId(chat))
    assert (await requested(groq_url, mark))[3:] == [[4, 5, 6]]
    assert [segment[:2] for segment in segments_of(database_url, chat)] == [(1, 3), (4, 6)]


async def test_what_is_next_leaves_out_what_is_replaced_pending_or_in_the_window(
    summarizer: Summarizer, chat: int, database_url: str
) -> None:
    put(database_url, chat, *[f"number {n}" for n in range(1, 13)])
    execute(database_url, "UPDATE messages SET replaced = position IN (3, 4, 5)")
    execute(database_url, "UPDATE messages SET status = 'pending' WHERE position IN (4, 10)")

    async def positions(window: int, limit: int) -> list[int]:
        async with summarizer.database.connect() as db:
            rows = await db.execute(next_messages(ChatId(chat), 1, window, limit))
            return [row.position for row in rows]

    assert await positions(window=0, limit=9) == [2, 6, 7, 8, 9]
    assert await positions(window=2, limit=9) == [2, 6, 7]
    assert await positions(window=2, limit=2) == [2, 6]
    assert await positions(window=5, limit=9) == []


async def test_a_replaced_message_is_not_looked_up_though_its_terms_are_there(
    client: Client, worker: Worker, chat: int, database_url: str
) -> None:
    """As a process of the release before may leave them."""
    put(database_url, chat, *[f"the harbour of Turku, number {n}" for n in range(1, 13)])
    await worker.summarizer.summarize(ChatId(chat))
    execute(database_url, "UPDATE messages SET replaced = true WHERE position BETWEEN 2 AND 12")
    ((user,),) = execute(database_url, "SELECT user_id FROM chats WHERE id = %s", chat)
    scope = Scope(UserId(int(str(user))), ChatId(chat), upto=6)
    found = await PostgresIndex(worker.summarizer.database).find(scope, "where is the harbour?", limit=9)
    assert [message.position for message in found] == [1]


async def test_what_a_person_wrote_into_the_memory_stays(client: Client, worker: Worker, chat: int) -> None:
    written = {"summary": "We speak German.", "facts": [{"text": "I am Ada", "pinned": True}]}
    await client.http.patch(f"/api/chats/{chat}/memory", json=written)
    first = await say(client, worker, chat, "[[tokens=2]] one")
    await edit(client, chat, first["message"]["id"], "two")
    memory = (await client.http.get(f"/api/chats/{chat}/memory")).json()
    assert (memory["summary"], [fact["text"] for fact in memory["facts"]]) == ("We speak German.", ["I am Ada"])
