"""What a person's edits make of facts."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.memory.edits import EditedFacts, FactEdit, edit, is_kept
from shared.errors import MemoryItemNotFound
from shared.ids import ChatId
from shared.memory.facts import Fact
from shared.memory.masking import says

NOW = datetime(2026, 5, 4, tzinfo=UTC)
CHAT = ChatId(1)
SAID = Fact(1, CHAT, 3, "health", "I take 5 mg", "user", NOW, value="5 mg", quote="i take 5 mg of it")
GONE = replace(SAID, id=2, text="Call 555", value="555", forgotten_at=NOW)


def edited(*edits: FactEdit, facts: tuple[Fact, ...] = (SAID, GONE)) -> EditedFacts:
    """The facts after edits of a chat of ten messages."""
    return edit(facts, edits, CHAT, 10)


def test_only_what_changes_is_saved() -> None:
    assert edited(FactEdit(1, text="I take 5 mg", pinned=False)).corrections == {}
    assert edited(FactEdit(1, pinned=True)).corrections == {1: {"is_pinned": True}}
    assert edited(FactEdit(1, kind="number")).corrections == {1: {"kind": "number", "source": "edited"}}


def test_edits_are_made_in_their_order() -> None:
    first, second = FactEdit(1, text="I take 7 mg"), FactEdit(1, text="I take 9 mg", pinned=True)
    assert edited(first, second).after[1].text == "I take 9 mg"
    assert edited(second, first).after[1].text == "I take 7 mg"
    assert edited(second, first).after[1].is_pinned


def test_a_text_that_was_corrected_away_can_be_added_beside_its_correction() -> None:
    facts = edited(FactEdit(1, text="I take 7 mg"), FactEdit(text="I take 5 mg"))
    assert (facts.after[1].text, [fact.text for fact in facts.added.values()]) == ("I take 7 mg", ["I take 5 mg"])


def test_what_is_forgotten_and_added_in_one_request_holds() -> None:
    facts = edited(FactEdit(1, forgotten=True), FactEdit(text="I take 5 mg"))
    (new,) = facts.added.values()
    assert (facts.forgotten, new.replaces) == ([1], (1,))


def test_what_is_added_and_then_forgotten_elsewhere_stays_forgotten() -> None:
    facts = edited(FactEdit(text="It is 5 mg."), FactEdit(1, forgotten=True))
    (new,) = facts.added.values()
    assert (facts.forgotten, new.replaces) == ([1], ())


def test_what_is_taken_back_again_can_be_added_again() -> None:
    lifted, anew = replace(GONE, replaced_by=1), replace(SAID, text="Call 555", value="555")
    facts = edited(FactEdit(1, forgotten=True), FactEdit(text="555!"), facts=(anew, lifted))
    (new,) = facts.added.values()
    assert set(new.replaces) == {1, 2}


def test_a_correction_that_says_a_forgotten_value_has_it_told_again() -> None:
    assert edited(FactEdit(1, text="Call 555.")).said_anew == {2: 1}
    assert edited(FactEdit(1, text="Call 5555.")).said_anew == {}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (FactEdit(3, pinned=True), "facts.1.id"),
        (FactEdit(2, pinned=True), "facts.1.id"),
        (FactEdit(text="New.", position=11), "facts.1.position"),
    ],
)
def test_an_edit_of_what_is_not_there_names_the_field(wrong: FactEdit, field: str) -> None:
    with pytest.raises(MemoryItemNotFound) as refused:
        edited(FactEdit(1, pinned=True), wrong)
    assert refused.value.field == field


def test_a_fact_that_was_forgotten_a_moment_ago_is_not_corrected() -> None:
    with pytest.raises(MemoryItemNotFound):
        edited(FactEdit(1, forgotten=True), FactEdit(1, text="I take 7 mg"))


def test_facts_for_all_chats_are_not_mixed_with_those_of_a_chat() -> None:
    own = replace(SAID, id=5, chat_id=None)
    facts = edit([SAID, own], [FactEdit(text=SAID.text, pinned=True)], None)
    assert facts.corrections == {5: {"source": "edited", "is_pinned": True}}
    assert (facts.growth(None), facts.growth(CHAT)) == (1, 0)


EDITS = st.builds(
    FactEdit,
    id=st.sampled_from([None, 1, 4]),
    forgotten=st.none(),
    text=st.sampled_from(["I take 5 mg", "i take 5 MG", "Other.", "More."]),
    pinned=st.none() | st.booleans(),
)


@given(st.lists(EDITS, max_size=8))
def test_the_growth_is_what_is_there_more(edits: list[FactEdit]) -> None:
    before = (SAID, replace(SAID, id=4, text="Other.", is_pinned=True), GONE)
    facts = edit(before, edits, CHAT)
    after = [fact for fact in facts.after.values() if is_kept(fact)]
    assert facts.growth(CHAT) == len(after) + len(facts.added) - 1


@pytest.mark.parametrize(
    ("text", "value", "has"),
    [
        ("Call 555.", "555", True),
        ("Call 5555.", "555", False),
        ("Ich heiße ÄNNE", "änne", True),
        ("Jänne", "änne", False),
        ("anything", "", True),
        ("a.b", "a?b", False),
    ],
)
def test_a_value_is_found_as_whole_words(text: str, value: str, *, has: bool) -> None:
    assert says(text, value) == has
