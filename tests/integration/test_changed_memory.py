"""Summaries of chats that others change meanwhile: people, the sweep, and processes of the release before."""

import asyncio
import json
from uuid import uuid4

from services.worker.summaries.summarizer import Summarizer
from shared.ids import ChatId
from shared.memory import summaries
from tests.doubles import groq_control
from tests.support.clients import Client
from tests.support.summaries import memory_of, requested, say, segments_of
from tests.support.turns import Noted, execute


async def test_a_correction_while_a_summary_is_made_wins_and_is_built_upon(
    client: Client, summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    say(database_url, chat, *[f"{mark} {n}" for n in range(1, 9)])
    await groq_control.script(groq_url, f"hold={mark}", marker=mark, reply="Outrun.")
    running = asyncio.create_task(summarizer.summarize(ChatId(chat)))
    await groq_control.requests(groq_url, containing=mark, held=1)
    changed = await client.http.patch(f"/api/chats/{chat}/memory", json={"summary": "Corrected."})
    assert changed.status_code == 200
    await groq_control.release(groq_url, mark)
    await running
    assert segments_of(database_url, chat) == [(0, 0, "Corrected.", "edited")]
    await groq_control.script(groq_url, marker=mark, reply=f"Behind it, {mark}.")
    await summarizer.summarize(ChatId(chat))
    assert memory_of(database_url, chat) == (f"Corrected.\nBehind it, {mark}.", 3)


async def test_a_chat_that_is_deleted_while_its_summary_is_made_stays_deleted(
    client: Client, summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    say(database_url, chat, *[f"{mark} {n}" for n in range(1, 9)])
    await groq_control.script(groq_url, f"hold={mark}", marker=mark, reply="Late.")
    running = asyncio.create_task(summarizer.summarize(ChatId(chat)))
    await groq_control.requests(groq_url, containing=mark, held=1)
    await client.http.delete(f"/api/chats/{chat}")
    await groq_control.release(groq_url, mark)
    await running
    assert execute(database_url, "SELECT count(*) FROM chats") == [(0,)]


async def test_a_change_behind_the_watermark_makes_the_segments_from_there_on_anew(
    summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    say(database_url, chat, *[f"{mark} {n}" for n in range(1, 12)])
    await summarizer.summarize(ChatId(chat))
    assert memory_of(database_url, chat)[1] == 6
    async with summarizer.database.begin() as db:
        made = await summaries.make_anew(db, ChatId(chat), 5, summarizer.kept)
    assert made is not None
    assert made.is_due
    assert [segment[:2] for segment in segments_of(database_url, chat)] == [(1, 3)]
    assert memory_of(database_url, chat)[1] == 3
    await summarizer.summarize(ChatId(chat))
    assert [segment[:2] for segment in segments_of(database_url, chat)] == [(1, 3), (4, 6)]
    assert await requested(groq_url, mark) == [[1, 2, 3], [4, 5, 6], [4, 5, 6]]


async def test_a_summary_that_the_user_writes_into_a_new_chat_comes_from_no_message(
    client: Client, summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    await client.http.patch(f"/api/chats/{chat}/memory", json={"summary": "The code is AB-12."})
    say(database_url, chat, *[f"{mark} {n}" for n in range(1, 9)])
    await summarizer.summarize(ChatId(chat))
    seen = await client.http.get(f"/api/chats/{chat}/memory")
    assert seen.status_code == 200
    assert [(one["first"], one["last"], one["kind"]) for one in seen.json()["segments"]] == [
        (0, 0, "edited"),
        (1, 3, "summary"),
    ]
    assert seen.json()["summary"].startswith("The code is AB-12.\n")


async def test_a_lost_hint_is_found_by_the_sweep(
    summarizer: Summarizer, chat: int, noted: Noted, database_url: str
) -> None:
    say(database_url, chat, *["Hello"] * 8)
    await summarizer.resend_lost()
    assert noted.chats == []
    execute(database_url, "UPDATE chats SET summary_due_at = now() - interval '1 minute'")
    await summarizer.resend_lost()
    assert noted.chats == [chat]


async def test_the_longer_a_chat_is_not_summarized_the_longer_are_the_pauses_between_its_jobs(
    summarizer: Summarizer, chat: int, noted: Noted, database_url: str
) -> None:
    say(database_url, chat, *["Hello"] * 8)
    for due, hinted, jobs in (
        ("60 seconds", "29 seconds", 0),  # 31 seconds had passed then, and as many have not since
        ("60 seconds", "31 seconds", 1),
        ("1 day", "9 minutes", 1),
        ("1 day", "11 minutes", 2),
        ("5 seconds", "1 hour", 3),  # it has become due again since
    ):
        ages = f"summary_due_at = now() - interval '{due}', summary_hinted_at = now() - interval '{hinted}'"
        execute(database_url, f"UPDATE chats SET {ages}")  # noqa: S608 - ours
        await summarizer.resend_lost()
        await summarizer.resend_lost()
        assert len(noted.chats) == jobs


async def test_what_a_process_of_the_release_before_summarizes_is_taken_over(
    summarizer: Summarizer, chat: int, database_url: str, groq_url: str
) -> None:
    mark = uuid4().hex
    say(database_url, chat, f"{mark} I like trains.", *[f"{mark} {n}" for n in range(2, 15)])
    await summarizer.summarize(ChatId(chat))
    facts = [
        {"text": "I like trains.", "position": 1, "pinned": False},
        {"text": "Mine.", "position": None, "pinned": True},
        {"text": "Made up.", "position": 2, "pinned": False},
    ]
    execute(
        database_url,
        "UPDATE chats SET summary = 'All of it.', summary_position = 8, facts = %s::jsonb, memory_version = 9,"
        " summary_due_at = now()",
        json.dumps(facts),
    )
    await summarizer.summarize(ChatId(chat))
    taken_over, *after = segments_of(database_url, chat)
    assert taken_over == (1, 8, "All of it.", "summary")
    assert [segment[:2] for segment in after] == []
    sources = execute(database_url, "SELECT text, source, is_pinned, position FROM memory_facts ORDER BY id")
    assert sources == [
        ("I like trains.", "user", False, 1),
        ("Mine.", "edited", True, None),
        ("Made up.", "assistant", False, None),
    ]
    # It may forget everything, too.
    execute(database_url, "UPDATE chats SET summary = NULL, summary_position = 0, facts = NULL, summary_due_at = now()")
    await summarizer.summarize(ChatId(chat))
    assert segments_of(database_url, chat)[0][:2] == (1, 3)
