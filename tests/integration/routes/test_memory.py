"""A chat's memory: looked at, corrected, pinned, forgotten, and made anew."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from shared.ids import MAX_BIGINT
from shared.settings import Settings
from tests.support.clients import Client, logged_in
from tests.support.turns import execute


@dataclass(frozen=True)
class Memory:
    """The memory of a chat of ten messages, six of them covered by two segments."""

    client: Client
    database_url: str
    chat: int

    @property
    def url(self) -> str:
        return f"/api/chats/{self.chat}/memory"

    def add(self, text: str, position: int | None = None, **columns: object) -> int:
        """Put a fact into the table, behind everybody's back. Returns its id."""
        values = {"kind": "other", "source": "user", "text": text, "position": position, **columns}
        return insert(self.database_url, self.chat, values)

    async def seen(self) -> dict[str, Any]:
        """What GET says."""
        answer = await self.client.http.get(self.url)
        assert answer.status_code == 200
        return dict(answer.json())

    async def fact(self, fact_id: int) -> dict[str, Any]:
        """What GET says of a fact."""
        (found,) = [fact for fact in (await self.seen())["facts"] if fact["id"] == fact_id]
        return dict(found)

    async def patch(self, **change: object) -> dict[str, Any]:
        """Change it. Returns what it is then."""
        answer = await self.client.http.patch(self.url, json=change)
        assert answer.status_code == 200, answer.text
        changed = dict(answer.json())
        assert changed == await self.seen()
        return changed

    async def refused(self, **change: object) -> tuple[int, str, str | None]:
        """Try a change that is refused: (status, code, field). Nothing may have changed."""
        before = await self.seen()
        # As ASCII, so that half a surrogate pair can be sent.
        body, headers = json.dumps(change), {"Content-Type": "application/json"}
        answer = await self.client.http.patch(self.url, content=body, headers=headers)
        assert await self.seen() == before
        return answer.status_code, answer.json()["code"], answer.json().get("field")

    def legacy(self) -> tuple[object, object]:
        """What processes of the release before read: the summary, and the facts' texts."""
        facts = "SELECT array_agg(one ->> 'text') FROM jsonb_array_elements(facts) AS one"
        ((summary, texts),) = execute(
            self.database_url,
            f"SELECT summary, ({facts}) FROM chats WHERE id = %s",  # noqa: S608 - a constant
            self.chat,
        )
        return summary, texts


def insert(database_url: str, chat: int, values: dict[str, object]) -> int:
    """Add a fact to a chat. Returns its id."""
    columns, places = ", ".join(values), ", ".join("%s" for _ in values)
    ((fact_id,),) = execute(
        database_url,
        f"INSERT INTO memory_facts (user_id, chat_id, {columns})"  # noqa: S608 - names of ours
        f" SELECT user_id, id, {places} FROM chats WHERE id = %s RETURNING id",
        *values.values(),
        chat,
    )
    return int(str(fact_id))


@pytest.fixture(scope="module")
async def client(api: str) -> AsyncIterator[Client]:
    """A user."""
    async with logged_in(api) as client:
        yield client


@pytest.fixture
async def memory(client: Client, database_url: str) -> Memory:
    """A memory without facts, of version 4."""
    chat = await client.new_chat()
    execute(
        database_url,
        "UPDATE chats SET last_position = 10, summary_position = 6, memory_version = 4 WHERE id = %s",
        chat,
    )
    execute(
        database_url,
        "INSERT INTO memory_segments (chat_id, first_position, last_position, text, kind)"
        " VALUES (%s, 1, 4, 'So far.', 'summary'), (%s, 5, 6, 'Then.', 'extract')",
        *(chat, chat),
    )
    return Memory(client, database_url, chat)


# What is shown


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


async def test_a_new_chat_has_none(client: Client) -> None:
    seen = (await client.http.get(f"/api/chats/{await client.new_chat()}/memory")).json()
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


# The summary and the segments


async def test_a_segment_is_corrected_and_the_others_stay(memory: Memory) -> None:
    before = (await memory.seen())["segments"]
    changed = await memory.patch(segments=[{"id": before[1]["id"], "text": "After that."}])
    assert changed["segments"] == [before[0], {**before[1], "text": "After that.", "kind": "edited"}]
    assert (changed["summary"], changed["version"]) == ("So far.\nAfter that.", 5)
    assert memory.legacy() == ("So far.\nAfter that.", None)


async def test_a_summary_replaces_all_segments(memory: Memory) -> None:
    changed = await memory.patch(summary="Otherwise.")
    (segment,) = changed["segments"]
    assert (segment["first"], segment["last"], segment["text"], segment["kind"]) == (1, 6, "Otherwise.", "edited")
    assert (changed["summary"], changed["watermark"], changed["version"]) == ("Otherwise.", 6, 5)
    assert memory.legacy() == ("Otherwise.", None)


@pytest.mark.parametrize("empty", [None, ""])
async def test_a_summary_can_be_removed_while_the_messages_stay_covered(memory: Memory, empty: str | None) -> None:
    changed = await memory.patch(summary=empty)
    assert changed["summary"] is None
    assert [(one["first"], one["last"], one["text"]) for one in changed["segments"]] == [(1, 6, "")]
    assert memory.legacy() == (None, None)


async def test_in_a_chat_where_nothing_is_summarized_a_summary_covers_nothing(
    client: Client, database_url: str
) -> None:
    memory = Memory(client, database_url, await client.new_chat())
    changed = await memory.patch(summary="Be brief.")
    assert [(one["first"], one["last"], one["text"]) for one in changed["segments"]] == [(0, 0, "Be brief.")]
    assert (changed["watermark"], changed["version"]) == (0, 1)
    assert (await memory.patch(summary="Be briefer."))["summary"] == "Be briefer."
    assert (await memory.patch(summary=None))["segments"] == []


async def test_segments_that_a_summary_has_replaced_can_not_be_corrected_with_it(memory: Memory) -> None:
    old = (await memory.seen())["segments"][0]["id"]
    both = {"summary": "All.", "segments": [{"id": old, "text": "Part."}]}
    assert await memory.refused(**both) == (422, "memory_item_not_found", "segments.0.id")


# Facts


async def test_a_fact_is_corrected_and_keeps_where_it_comes_from(memory: Memory) -> None:
    fact = memory.add(
        "I take 5 mg", 3, kind="health", value="5 mg", quote="i take 5 mg of warfarin", source="assistant"
    )
    changed = await memory.patch(facts=[{"id": fact, "text": " I take 7 mg "}])
    (seen,) = changed["facts"]
    assert (seen["text"], seen["source"], seen["quote"], seen["position"]) == (
        "I take 7 mg",
        "edited",
        "i take 5 mg of warfarin",
        3,
    )
    assert seen["value"] == ""  # no longer what the text says
    assert (seen["kind"], seen["pinned"], changed["version"]) == ("health", False, 5)
    assert memory.legacy() == ("So far.\nThen.", ["I take 7 mg"])


async def test_a_correction_that_keeps_the_value_keeps_it(memory: Memory) -> None:
    fact = memory.add("the flat is in turku", 3, value="turku")
    (seen,) = (await memory.patch(facts=[{"id": fact, "text": "My flat is in Turku.", "kind": "place"}]))["facts"]
    assert (seen["value"], seen["kind"]) == ("turku", "place")


async def test_a_pinned_fact_is_still_the_users_own_words(memory: Memory) -> None:
    fact = memory.add("I am a sailor.", 3)
    (seen,) = (await memory.patch(facts=[{"id": fact, "pinned": True}]))["facts"]
    assert (seen["pinned"], seen["source"]) == (True, "user")
    (seen,) = (await memory.patch(facts=[{"id": fact, "pinned": False}]))["facts"]
    assert (seen["pinned"], seen["source"]) == (False, "user")


async def test_a_fact_is_added_by_the_user(memory: Memory) -> None:
    changed = await memory.patch(facts=[{"text": " Call me Sam. ", "kind": "identity", "pinned": True, "position": 3}])
    (seen,) = changed["facts"]
    assert (seen["text"], seen["kind"], seen["pinned"], seen["position"], seen["source"], seen["state"]) == (
        "Call me Sam.",
        "identity",
        True,
        3,
        "edited",
        "current",
    )
    (plain,) = (await memory.patch(facts=[{"text": "Mine."}]))["facts"][:1]
    assert (plain["text"], plain["kind"], plain["pinned"], plain["position"]) == ("Mine.", "other", False, None)


async def test_a_fact_that_is_added_twice_is_there_once(memory: Memory) -> None:
    said = memory.add("I am a sailor.", 3, source="assistant")
    for _ in range(2):
        await memory.patch(facts=[{"text": "I am  a Sailor.", "pinned": True}, {"text": "New."}, {"text": "new."}])
    facts = (await memory.seen())["facts"]
    assert [(fact["id"] == said, fact["text"], fact["position"], fact["source"]) for fact in facts] == [
        (False, "new.", None, "edited"),
        (True, "I am  a Sailor.", 3, "edited"),
    ]
    assert facts[1]["pinned"]


async def test_other_facts_stay_as_they_are(memory: Memory) -> None:
    memory.add("Stays.", 2)
    before = (await memory.seen())["facts"]
    changed = await memory.patch(facts=[{"text": "New."}])
    assert changed["facts"][1:] == before
    assert (await memory.patch(facts=[]))["facts"] == changed["facts"]


async def test_what_is_forgotten_leaves_a_tombstone(memory: Memory) -> None:
    fact = memory.add("My phone is 555", 3, value="555", is_pinned=True)
    (seen,) = (await memory.patch(facts=[{"id": fact, "forgotten": True}]))["facts"]
    assert (seen["id"], seen["state"], seen["text"], seen["value"], seen["pinned"]) == (
        fact,
        "forgotten",
        "",
        "",
        False,
    )
    kept = "SELECT value, forgotten_by, forgotten_position, forgotten_at IS NOT NULL FROM memory_facts WHERE id = %s"
    assert execute(memory.database_url, kept, fact) == [("555", "user", 10, True)]
    assert memory.legacy() == ("So far.\nThen.", None)
    # Again is harmless; anything else can't bring it back.
    await memory.patch(facts=[{"id": fact, "forgotten": True}])
    for undo in ({"text": "My phone is 555"}, {"pinned": True}, {"kind": "number"}):
        assert await memory.refused(facts=[{"id": fact, **undo}]) == (422, "memory_item_not_found", "facts.0.id")


async def test_what_is_forgotten_and_written_anew_is_told_again(memory: Memory) -> None:
    fact = memory.add("My phone is 555", 3, value="555")
    await memory.patch(facts=[{"id": fact, "forgotten": True}])
    changed = await memory.patch(facts=[{"text": "Call 555."}])
    new, old = changed["facts"]
    assert (new["state"], old["state"], old["replaced_by"]) == ("current", "forgotten", new["id"])
    # What is taken back a second time is told no more, in whatever words.
    again = (await memory.patch(facts=[{"id": new["id"], "forgotten": True}]))["facts"]
    assert [(fact["state"], fact["replaced_by"]) for fact in again] == [("forgotten", None)] * 2
    changed = await memory.patch(facts=[{"text": "555 it is."}])
    (new,) = [fact for fact in changed["facts"] if fact["state"] == "current"]
    assert [fact["replaced_by"] for fact in changed["facts"]].count(new["id"]) == 1
    # Another number is not the forgotten one.
    other = memory.add("Room 77", 4, value="77")
    await memory.patch(facts=[{"id": other, "forgotten": True}, {"text": "Room 770"}])
    assert (await memory.fact(other))["replaced_by"] is None
    await memory.patch(facts=[{"id": new["id"], "text": "Room 77."}])
    assert (await memory.fact(other))["replaced_by"] == new["id"]


async def test_a_value_that_was_replaced_can_be_forgotten_too(memory: Memory) -> None:
    new = memory.add("555", 5, value="555")
    old = memory.add("444", 3, value="444", replaced_by=new)
    assert await memory.refused(facts=[{"id": old, "pinned": True}]) == (422, "memory_item_not_found", "facts.0.id")
    seen, kept = (await memory.patch(facts=[{"id": old, "forgotten": True}]))["facts"]
    assert (seen["state"], seen["replaced_by"], kept["state"]) == ("forgotten", None, "current")


async def test_a_fact_that_the_user_wrote_is_forgotten_by_its_text(memory: Memory) -> None:
    (fact,) = (await memory.patch(facts=[{"text": "I owe Ann money."}]))["facts"]
    await memory.patch(facts=[{"id": fact["id"], "forgotten": True}])
    kept = execute(memory.database_url, "SELECT value FROM memory_facts WHERE id = %s", fact["id"])
    assert kept == [("I owe Ann money.",)]


# What is refused


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
