"""A chat's memory: what is shown of it and to whom, and its being made anew."""

from collections.abc import Callable

import pytest

from shared.settings import Settings
from tests.support.clients import Client
from tests.support.seen_memory import Memory
from tests.support.turns import execute


async def test_it_is_shown_with_what_it_covers(memory: Memory) -> None:
    said = "2026-05-04T23:30:00+00:00"
    new = memory.add("MySQL", 5, kind="decision", said_at=said)
    old = memory.add("PostgreSQL", 3, subject="the project", attribute="database", value="PostgreSQL", replaced_by=new)
    seen = await memory.seen()
    segments = [{key: one[key] for key in ("first", "last", "text", "kind")} for one in seen.pop("segments")]
    assert segments == [
        {"first": 1, "last": 4, "text": "So far.", "kind": "summary"},
        {"first": 5, "last": 6, "text": "Then.", "kind": "extract"},
    ]
    facts = seen.pop("facts")
    assert seen == {"summary": "So far.\nThen.", "watermark": 6, "pending": 4, "version": 4}
    assert [(fact["id"], fact["state"], fact["replaced_by"]) for fact in facts] == [
        (old, "replaced", new),
        (new, "current", None),
    ]
    assert facts[1] == {
        "id": new,
        "text": "MySQL",
        "kind": "decision",
        "subject": "",
        "attribute": "",
        "value": "",
        "quote": "",
        "position": 5,
        "date": "2026-05-04",
        "source": "user",
        "pinned": False,
        "state": "current",
        "replaced_by": None,
    }
    assert (facts[0]["subject"], facts[0]["attribute"], facts[0]["value"]) == ("the project", "database", "PostgreSQL")


async def test_facts_are_in_the_order_of_the_chat(memory: Memory) -> None:
    for text, position in (("c", 5), ("a", None), ("b", 2), ("d", 5)):
        memory.add(text, position)
    assert [fact["text"] for fact in (await memory.seen())["facts"]] == ["a", "b", "c", "d"]


async def test_a_forgotten_fact_shows_no_content(memory: Memory) -> None:
    fact = memory.add(
        "Phone 555", 3, kind="number", value="555", quote="my phone is 555", forgotten_at="now", forgotten_by="chat"
    )
    seen = await memory.fact(fact)
    assert (seen["text"], seen["value"], seen["quote"]) == ("", "", "")
    assert (seen["kind"], seen["position"], seen["state"]) == ("number", 3, "forgotten")


async def test_a_new_chat_has_none(user: Client) -> None:
    seen = (await user.http.get(f"/api/chats/{await user.new_chat()}/memory")).json()
    assert seen == {"summary": None, "segments": [], "facts": [], "watermark": 0, "pending": 0, "version": 0}


@pytest.mark.parametrize(
    "facts",
    [
        "{}",
        "null",
        "7",
        '["x", 7, null]',
        '[{"text": 5, "position": "x"}, {"position": 1e99}]',
        '[{"text": "\\u0001"}]',
    ],
)
async def test_whatever_an_earlier_release_has_saved_is_shown(memory: Memory, facts: str) -> None:
    execute(memory.database_url, "DELETE FROM memory_segments WHERE chat_id = %s", memory.chat)
    execute(memory.database_url, "UPDATE chats SET summary = 'Old.', facts = %s WHERE id = %s", facts, memory.chat)
    seen = await memory.seen()
    assert (seen["summary"], [(one["first"], one["last"]) for one in seen["segments"]]) == ("Old.", [(1, 6)])


# Made anew


async def test_it_is_made_anew_but_for_what_the_user_has_kept_or_forgotten(memory: Memory) -> None:
    memory.add("said", 3)
    memory.add("pinned", 3, is_pinned=True)
    memory.add("written", 3, source="edited")
    memory.add("forgotten", 3, forgotten_at="now", value="forgotten")
    assert (await memory.client.http.delete(memory.url)).status_code == 204
    seen = await memory.seen()
    assert (seen["summary"], seen["segments"], seen["watermark"], seen["version"]) == (None, [], 0, 5)
    assert [(fact["text"], fact["state"]) for fact in seen["facts"]] == [
        ("pinned", "current"),
        ("written", "current"),
        ("", "forgotten"),
    ]


async def test_it_is_due_when_more_is_pending_than_is_kept(memory: Memory, settings: Settings) -> None:
    kept = settings.history_window + settings.summary_chunk_messages - 1
    for messages, is_due in ((kept, False), (kept + 1, True)):
        execute(memory.database_url, "DELETE FROM messages WHERE chat_id = %s", memory.chat)
        execute(
            memory.database_url,
            "INSERT INTO messages (chat_id, role, content, position, status)"
            " SELECT %s, 'user', 'Hello', number, 'completed' FROM generate_series(1, %s) AS number",
            *(memory.chat, messages),
        )
        assert (await memory.client.http.delete(memory.url)).status_code == 204
        due = "SELECT summary_due_at IS NOT NULL FROM chats WHERE id = %s"
        assert execute(memory.database_url, due, memory.chat) == [(is_due,)]


# Whose


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_anothers_is_not_there(memory: Memory, connect: Callable[[], Client], method: str) -> None:
    memory.add("Secret.", 3)
    before = await memory.seen()
    stranger = connect()
    await stranger.sign_up()
    body = {"facts": [{"text": "Mine."}], "summary": "Mine."} if method == "PATCH" else None
    for path in (memory.url, "/api/chats/999999/memory"):
        refused = await stranger.http.request(method, path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (404, "chat_not_found")
    assert await memory.seen() == before


async def test_the_facts_of_a_deleted_chat_are_gone_and_what_they_replaced_holds_again(memory: Memory) -> None:
    another = Memory(memory.client, memory.database_url, await memory.client.new_chat())
    new = another.add("MySQL", 2)
    old = memory.add("PostgreSQL", 3, replaced_by=new)
    assert (await memory.fact(old))["state"] == "replaced"
    assert (await memory.client.http.delete(f"/api/chats/{another.chat}")).status_code == 204
    assert execute(memory.database_url, "SELECT id FROM memory_facts WHERE id IN (%s, %s)", old, new) == [(old,)]
    assert (await memory.fact(old))["state"] == "current"
