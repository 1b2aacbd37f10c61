"""Edits of a chat's memory that are refused, and edits at once: whatever is refused changes nothing."""

import asyncio
from collections.abc import Callable

import pytest

from shared.ids import MAX_BIGINT
from shared.settings import Settings
from tests.support.clients import Client
from tests.support.seen_memory import Memory
from tests.support.turns import execute


async def test_a_stale_version_changes_nothing(memory: Memory) -> None:
    assert await memory.refused(summary="Late.", version=3) == (409, "memory_changed", None)
    assert (await memory.patch(summary="In time.", version=4))["version"] == 5


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"facts": [{}]}, "facts.0.text"),
        ({"facts": [{"text": None}]}, "facts.0.text"),
        ({"facts": [{"text": ""}]}, "facts.0.text"),
        ({"facts": [{"text": " \u200b "}]}, "facts.0.text"),
        ({"facts": [{"text": "x" * 201}]}, "facts.0.text"),
        ({"facts": [{"text": "a\0b"}]}, "facts.0.text"),
        ({"facts": [{"text": "a\ud800b"}]}, "facts.0.text"),
        ({"facts": [{"text": "a"}, {"id": 1, "text": ""}]}, "facts.1.text"),
        ({"facts": [{"text": "a", "position": 0}]}, "facts.0.position"),
        ({"facts": [{"text": "a", "position": True}]}, "facts.0.position"),
        ({"facts": [{"text": "a", "position": MAX_BIGINT + 1}]}, "facts.0.position"),
        ({"facts": [{"id": 1, "position": 2}]}, "facts.0.position"),
        ({"facts": [{"text": "a", "kind": "rumour"}]}, "facts.0.kind"),
        ({"facts": [{"text": "a", "pinned": 7}]}, "facts.0.pinned"),
        ({"facts": [{"text": "a", "forgotten": True}]}, "facts.0.forgotten"),
        ({"facts": [{"id": 1, "forgotten": False}]}, "facts.0.forgotten"),
        ({"facts": [{"id": 1, "forgotten": True, "text": "a"}]}, "facts.0.text"),
        ({"facts": [{"id": 1, "forgotten": True, "pinned": False}]}, "facts.0.pinned"),
        ({"facts": [{"id": 1, "forgotten": True, "kind": "other"}]}, "facts.0.kind"),
        ({"facts": [{"id": True, "pinned": True}]}, "facts.0.id"),
        ({"facts": [{"id": 0}]}, "facts.0.id"),
        ({"facts": [{"id": 1.5}]}, "facts.0.id"),
        ({"facts": [{"id": "1"}]}, "facts.0.id"),
        ({"facts": [{"id": MAX_BIGINT + 1}]}, "facts.0.id"),
        ({"facts": [{"text": "a", "source": "user"}]}, "facts.0.source"),
        ({"facts": {"text": "a"}}, "facts"),
        ({"facts": ["a"]}, "facts.0"),
        ({"segments": [{"id": True, "text": "a"}]}, "segments.0.id"),
        ({"segments": [{"id": MAX_BIGINT + 1, "text": "a"}]}, "segments.0.id"),
        ({"segments": [{"id": 1}]}, "segments.0.text"),
        ({"segments": [{"id": 1, "text": "a\0b"}]}, "segments.0.text"),
        ({"segments": [{"text": "a"}]}, "segments.0.id"),
        ({"summary": "a\0b"}, "summary"),
        ({"summary": "a\udc00b"}, "summary"),
        ({"version": -1}, "version"),
        ({"version": MAX_BIGINT + 1}, "version"),
        ({"watermark": 3}, "watermark"),
    ],
)
async def test_what_can_not_be_kept_is_refused_by_name(memory: Memory, body: dict[str, object], field: str) -> None:
    assert await memory.refused(**body) == (422, "validation_failed", field)


async def test_what_is_not_there_is_refused_by_name(memory: Memory, connect: Callable[[], Client]) -> None:
    another = Memory(memory.client, memory.database_url, await memory.client.new_chat())
    elsewhere = another.add("Elsewhere.")
    for fact in (elsewhere, MAX_BIGINT):
        for change in ({"pinned": True}, {"text": "Mine."}, {"forgotten": True}):
            facts = [{"text": "Good."}, {"id": fact, **change}]
            assert await memory.refused(facts=facts) == (422, "memory_item_not_found", "facts.1.id")
    assert (await another.seen())["facts"][0]["text"] == "Elsewhere."
    (segment,) = (await another.patch(summary="Else."))["segments"]
    for segment_id in (segment["id"], MAX_BIGINT):
        segments = [{"id": segment_id, "text": "Mine."}]
        assert await memory.refused(segments=segments) == (422, "memory_item_not_found", "segments.0.id")
    late = [{"text": "Later.", "position": 11}]
    assert await memory.refused(facts=late) == (422, "memory_item_not_found", "facts.0.position")


async def test_more_than_a_memory_holds_here_is_refused_by_name(memory: Memory, settings: Settings) -> None:
    most = settings.summary_max_chars
    first, second = (one["id"] for one in (await memory.seen())["segments"])
    assert (await memory.patch(segments=[{"id": first, "text": "x" * (most - len("Then."))}]))["version"] == 5
    too_much = {"segments": [{"id": second, "text": "Then .."}]}
    assert await memory.refused(**too_much) == (422, "memory_too_large", "segments")
    assert (await memory.patch(summary="x" * most))["version"] == 6
    assert await memory.refused(summary="x" * (most + 1)) == (422, "memory_too_large", "summary")


async def test_only_so_many_facts_can_be_written_or_pinned(memory: Memory, settings: Settings) -> None:
    said = [memory.add(f"Said {number}", 1) for number in range(settings.facts_max)]
    await memory.patch(facts=[{"text": f"{number}"} for number in range(settings.facts_max - 1)])
    await memory.patch(facts=[{"id": said[0], "pinned": True}])
    for one_more in ({"text": "More."}, {"id": said[1], "pinned": True}, {"id": said[1], "text": "Mine."}):
        assert await memory.refused(facts=[one_more]) == (422, "memory_too_large", "facts")
    # What takes no more room may be changed, and what is given up makes room.
    await memory.patch(facts=[{"id": said[0], "text": "Other."}])
    await memory.patch(facts=[{"id": said[0], "forgotten": True}, {"text": "More."}])


@pytest.mark.parametrize("body", [{"facts": [{"text": "a"}] * 401}, {"summary": "x" * 20_001}])
async def test_more_than_a_memory_holds_anywhere_is_refused_by_the_same_code(
    memory: Memory, body: dict[str, object]
) -> None:
    assert await memory.refused(**body) == (422, "memory_too_large", next(iter(body)))


@pytest.mark.parametrize(
    ("items", "bad", "field"), [("facts", {"text": ""}, "facts.0.text"), ("segments", {"id": 0}, "segments.0.id")]
)
async def test_of_many_bad_items_the_first_is_told(memory: Memory, items: str, bad: object, field: str) -> None:
    refused = await memory.client.http.patch(memory.url, json={items: [bad] * 10_000})
    assert {error["field"] for error in refused.json()["errors"]} <= {field, "segments.0.text"}
    assert refused.json()["field"] == field


async def test_of_ten_changes_at_once_of_one_version_one_is_made(memory: Memory) -> None:
    changes = [{"version": 4, "facts": [{"text": f"Number {number}"}]} for number in range(10)]
    answers = await asyncio.gather(*(memory.client.http.patch(memory.url, json=change) for change in changes))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    seen = await memory.seen()
    assert (seen["version"], len(seen["facts"])) == (5, 1)


async def test_a_fact_that_is_added_ten_times_at_once_is_there_once(memory: Memory) -> None:
    change = {"facts": [{"text": "I am 40."}]}
    answers = await asyncio.gather(*(memory.client.http.patch(memory.url, json=change) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    seen = await memory.seen()
    assert (seen["version"], len(seen["facts"])) == (14, 1)


async def test_what_a_summarizer_makes_meanwhile_is_due_again(memory: Memory) -> None:
    due = "SELECT summary_due_at <= now(), memory_version FROM chats WHERE id = %s"
    await memory.patch(facts=[{"text": "Mine."}])
    assert execute(memory.database_url, due, memory.chat) == [(None, 5)]
    execute(
        memory.database_url, "UPDATE chats SET summary_due_at = now() + interval '1 hour' WHERE id = %s", memory.chat
    )
    await memory.patch(facts=[{"text": "Mine too."}])
    assert execute(memory.database_url, due, memory.chat) == [(True, 6)]
