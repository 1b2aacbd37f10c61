"""Edits of a chat's memory: segments and facts are corrected, added, pinned and forgotten."""

import pytest

from tests.support.clients import Client
from tests.support.seen_memory import Memory
from tests.support.turns import execute

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


async def test_in_a_chat_where_nothing_is_summarized_a_summary_covers_nothing(user: Client, database_url: str) -> None:
    memory = Memory(user, database_url, await user.new_chat())
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
