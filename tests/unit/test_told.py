"""What is told of a memory: the most important first, no more than there is room for, nothing that was taken back."""

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.generations.told import CHANGES, SHARED_LIMIT, Told, tell_first, tell_rest
from services.worker.models.tokens import LARGE, SMALL, Vocabulary, count_text
from shared.memory.chat_memory import ChatMemory, SharedFact
from shared.memory.facts import CHANGE, KINDS, Fact
from shared.memory.masking import FORGOTTEN, Mask
from shared.memory.segments import Segment
from tests.support.memory import fact, forgotten, remembered

PLENTY: Final = 100_000.0


def told_of(memory: ChatMemory, room: float = PLENTY, max_facts: int = 40) -> dict[str, Any]:
    """The record of a memory."""
    told = Told(room, SMALL, Mask(memory.forgotten_values))
    tell_first(told, memory)
    tell_rest(told, memory, max_facts)
    return told.as_record()


def texts_of(record: dict[str, Any], of: str = "facts") -> list[str]:
    return [one["text"] for one in record.get(of, ())]


def numbers(count: int, after: int = 100) -> tuple[Fact, ...]:
    """Facts of numbers, the newest of the chat."""
    return tuple(fact(after + n, f"The number of part {n} is {n * 37}.", kind="number") for n in range(count))


def test_nothing_is_told_of_an_empty_memory() -> None:
    assert told_of(ChatMemory()) == {}
    assert told_of(remembered("", "")) == {}


def test_segments_are_told_in_their_order_with_what_they_cover_and_who_wrote_them() -> None:
    segments = (
        Segment(0, 0, "Mine.", "edited"),
        Segment(1, 10, "They met.", "summary"),
        Segment(11, 20, "12 user: Hello.", "extract"),
    )
    assert told_of(ChatMemory(segments))["summaries"] == [
        {"messages": "0-0", "by": "user", "text": "Mine."},
        {"messages": "1-10", "by": "model", "text": "They met."},
        {"messages": "11-20", "by": "extract", "text": "12 user: Hello."},
    ]


@pytest.mark.parametrize("source", ["user", "assistant", "web", "edited"])
def test_a_fact_is_told_with_its_place_its_day_its_kind_and_who_said_it(source: str) -> None:
    one = fact(7, "I live in Turku.", kind="place", source=source)
    assert told_of(remembered(facts=(one,)))["facts"] == [
        {"position": 7, "date": "2026-05-01", "by": source, "kind": "place", "text": "I live in Turku."}
    ]


def test_what_a_fact_is_about_is_told_unless_its_text_says_so() -> None:
    facts = (
        fact(1, "It is Turku.", subject="user", attribute="home town"),
        fact(2, "My Home Town is Turku.", subject="user", attribute="home town"),
        fact(3, "Mine.", position=None),
    )
    by_text = {one["text"]: one for one in told_of(remembered(facts=facts))["facts"]}
    assert by_text["It is Turku."]["about"] == "user home town"
    assert "about" not in by_text["My Home Town is Turku."]
    assert "position" not in by_text["Mine."]


def test_facts_are_told_in_the_order_of_the_chat() -> None:
    facts = (fact(9, "Nine."), fact(2, "Two.", kind="health"), fact(5, "Five.", is_pinned=True), fact(1, "One."))
    assert texts_of(told_of(remembered(facts=facts))) == ["One.", "Two.", "Five.", "Nine."]


def test_replaced_and_forgotten_facts_are_not_told() -> None:
    facts = (fact(1, "Old.", replaced_by=2), fact(2, "New."), forgotten(3, "555-0199", 3))
    assert texts_of(told_of(remembered(facts=facts))) == ["New."]


def test_a_text_that_was_said_twice_is_told_once_from_where_it_was_said_last() -> None:
    facts = (fact(1, "The code is K7-11."), fact(9, "the code is K7-11."), fact(5, "the code is K7-11.", source="web"))
    record = told_of(remembered(facts=facts))
    assert [(one["position"], one["by"]) for one in record["facts"]] == [(5, "web"), (9, "user")]


def test_three_hundred_numbers_do_not_drive_out_twelve_preferences() -> None:
    likes = tuple(fact(n, f"I like dish {n}.", kind="preference") for n in range(1, 13))
    memory = remembered("They talked of parts. " * 40, facts=(*likes, *numbers(300)))
    assert {one.text for one in likes} <= set(texts_of(told_of(memory)))
    assert {one.text for one in likes} <= set(texts_of(told_of(memory, room=1_000)))


@pytest.mark.parametrize("kind", ["identity", "health", "preference", "decision", "relation"])
def test_a_kind_with_reserved_places_goes_before_newer_facts_of_other_kinds(kind: str) -> None:
    kept = tuple(fact(n, f"Kept {n}.", kind=kind) for n in range(1, 7))
    assert {one.text for one in kept} <= set(texts_of(told_of(remembered(facts=(*kept, *numbers(300))))))


@pytest.mark.parametrize("source", ["assistant", "web"])
def test_what_others_say_of_the_user_has_no_reserved_place(source: str) -> None:
    others = tuple(fact(n, f"You like dish {n}.", kind="preference", source=source) for n in range(1, 5))
    told = texts_of(told_of(remembered(facts=(*others, *numbers(300)))))
    assert not {one.text for one in others} & set(told)


def test_typed_facts_go_before_sentences_without_a_kind_and_newer_ones_first() -> None:
    typed = tuple(fact(n, f"Typed {n}.", kind="date") for n in range(1, 6))
    loose = tuple(fact(50 + n, f"Loose {n}.") for n in range(1, 6))
    assert texts_of(told_of(remembered(facts=(*typed, *loose)), max_facts=7)) == [
        *(one.text for one in typed),
        "Loose 4.",
        "Loose 5.",
    ]


def test_no_more_facts_are_told_than_wanted_but_all_pinned_ones_and_instructions() -> None:
    pinned = tuple(fact(n, f"Pinned {n}.", is_pinned=True) for n in range(1, 8))
    orders = tuple(fact(20 + n, f"Do {n}.", kind="instruction") for n in range(1, 8))
    facts = (*pinned, *orders, *numbers(50))
    assert texts_of(told_of(remembered(facts=facts), max_facts=5)) == [one.text for one in (*pinned, *orders)]
    assert len(texts_of(told_of(remembered(facts=facts), max_facts=20))) == 20


def test_where_there_is_little_room_pinned_facts_and_instructions_go_first_the_pinned_before() -> None:
    facts = (
        fact(1, "Pinned."),
        fact(2, "Answer in French.", kind="instruction"),
        fact(3, "A newer fact of any kind.", kind="health"),
    )
    facts = (fact(1, "Pinned.", is_pinned=True), *facts[1:])
    memory = remembered("They talked at length. " * 5, facts=facts)
    seen = list[list[str]]()
    for room in range(0, 400, 2):
        record = told_of(memory, room)
        now = [*texts_of(record), *texts_of(record, "summaries")]
        if not seen or now != seen[-1]:
            seen.append(now)
    assert seen[:3] == [[], ["Pinned."], ["Pinned.", "Answer in French."]]
    assert len(seen[-1]) == 4


def test_of_segments_that_do_not_fit_the_newest_are_told() -> None:
    memory = remembered(*(f"Stretch {n}. " + "They talked on. " * 10 for n in range(8)))
    told = texts_of(told_of(memory, room=300), "summaries")
    assert 0 < len(told) < 8
    assert [text.partition(".")[0] for text in told] == [f"Stretch {n}" for n in range(8 - len(told), 8)]


def test_segments_leave_half_of_the_room_to_facts_and_take_what_facts_leave() -> None:
    long = [f"Stretch {n}. " + "They talked on. " * 10 for n in range(8)]
    alone = told_of(remembered(*long), room=600)
    beside = told_of(remembered(*long, facts=numbers(100)), room=600)
    assert len(texts_of(beside)) > 5
    assert len(alone["summaries"]) > len(beside["summaries"]) > 0


def test_facts_of_other_chats_are_told_apart_with_their_chats_and_only_so_many() -> None:
    shared = tuple(SharedFact(fact(n, f"I like {n}.", kind="preference", chat_id=9), "Food") for n in range(1, 40))
    record = told_of(remembered(shared=(SharedFact(fact(50, "I am Sam.", kind="identity"), None), *shared)))
    assert record["from_other_chats"][:2] == [
        {"date": "2026-05-01", "kind": "identity", "text": "I am Sam."},
        {"chat": "Food", "date": "2026-05-01", "kind": "preference", "text": "I like 1."},
    ]
    assert len(record["from_other_chats"]) == SHARED_LIMIT
    assert "facts" not in record


def test_what_was_taken_back_is_told_nowhere() -> None:
    gone = (forgotten(9, "555-0199", 9), forgotten(8, "", 9, quote="my cat Momo"))
    one = fact(1, "My phone is 555-0199.", subject="user", attribute="phone")
    memory = remembered(
        "The phone is 555-0199. The user has my cat Momo.",
        facts=(one, *gone),
        shared=(SharedFact(fact(5, "Call 555-0199", kind="identity"), "Phones"),),
    )
    whole = json.dumps(told_of(memory))
    assert "555-0199" not in whole
    assert "Momo" not in whole
    assert whole.count(FORGOTTEN) == 4


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("Call 555-0199 now.", "555-0199", "Call [forgotten] now."),
        ("Call 1555-01992 now.", "555-0199", "Call 1555-01992 now."),
        ("She is ANNA.", "Anna", "She is [forgotten]."),
        ("Annabel and Anna", "Anna", "Annabel and [forgotten]"),
        ("我住在杭州西湖边", "杭州", "我住在[forgotten]西湖边"),
        ("预算是1500元", "1500元", "预算是[forgotten]"),
        ("预算是1500元", "1500", "预算是[forgotten]元"),
        ("父はエビのアレルギーがある", "エビ", "父は[forgotten]のアレルギーがある"),
        ("콩이는 강아지다", "콩이", "[forgotten]는 강아지다"),
        ("ฉันชื่อมะลิอยู่", "มะลิ", "ฉันชื่อ[forgotten]อยู่"),
        ("Анна и Аннабель", "анна", "[forgotten] и Аннабель"),
        ("η Μαρία και η Μαριάννα", "Μαρία", "η [forgotten] και η Μαριάννα"),
        ("اسمي سلمى هنا", "سلمى", "اسمي [forgotten] هنا"),
        ("מיכל ומיכלה", "מיכל", "[forgotten] ומיכלה"),
        ("वह मीरा है", "मीरा", "वह [forgotten] है"),
        ("a.b axb", "a.b", "[forgotten] axb"),
        ("the C++ way", "C++", "the [forgotten] way"),
        ("a b", "a", "a b"),  # one letter stands in too many words
        ("nothing of it", "absent", "nothing of it"),
        ("", "Anna", ""),
    ],
)
def test_a_value_is_masked_as_a_whole_in_any_script(text: str, value: str, expected: str) -> None:
    assert Mask([value])(text) == expected


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=8), max_size=4))
def test_masking_raises_no_error_and_leaves_no_value_that_stands_alone(text: str, values: list[str]) -> None:
    Mask(values)(text)
    for value in values:
        seen = value.strip()
        assert len(seen) < 2 or seen in FORGOTTEN or seen not in Mask([value])(f"({seen})")


facts = st.builds(
    fact,
    st.integers(1, 99),
    st.text(max_size=80),
    kind=st.sampled_from(KINDS),
    source=st.sampled_from(["user", "assistant", "web", "edited"]),
    is_pinned=st.booleans(),
    attribute=st.sampled_from(["", "home"]),
    value=st.sampled_from(["", "12", "home"]),
    replaced_by=st.sampled_from([None, None, 7]),
)
gone = st.builds(forgotten, st.integers(100, 199), st.sampled_from(["12", "中", "ab"]), st.integers(1, 99))
memories = st.builds(
    lambda texts, own, back, shared: remembered(
        *texts, facts=(*own, *back), shared=tuple(SharedFact(one, "Title") for one in shared)
    ),
    st.lists(st.text(max_size=200), max_size=5),
    st.lists(facts, max_size=8, unique_by=lambda one: one.id),
    st.lists(gone, max_size=2),
    st.lists(facts, max_size=3),
)


@given(memories, st.integers(-50, 600), st.integers(0, 10), st.sampled_from([SMALL, LARGE]))
def test_a_record_never_takes_more_than_its_room(
    memory: ChatMemory, room: int, max_facts: int, vocabulary: Vocabulary
) -> None:
    told = Told(room, vocabulary, Mask(memory.forgotten_values))
    tell_first(told, memory)
    first = told.as_record()
    tell_rest(told, memory, max_facts)
    record = told.as_record()
    sizes = [count_text(json.dumps(one, ensure_ascii=False), vocabulary) for part in record.values() for one in part]
    assert sum(sizes) <= max(0, room) + 1e-6
    assert told.left >= min(0, room)
    # What was told first stays, and nothing is told twice.
    assert all(one in record["facts"] for one in first.get("facts", ()))
    assert len({id(one) for one in told.facts}) == len(told.facts)
    assert {one.state for one in told.facts} <= {"current"}
    # With more room, no less is told.
    assert len(texts_of(told_of(memory, PLENTY, max_facts))) >= len(told.facts)


def test_a_value_is_masked_across_line_ends() -> None:
    assert Mask(["Ada Lovelace"])("I am Ada\nLovelace, Ada  Lovelace.") == f"I am {FORGOTTEN}, {FORGOTTEN}."


def changes(count: int, after: int = 0) -> tuple[Fact, ...]:
    """Sentences that change something, without a kind."""
    return tuple(fact(after + n, f"Rather red than {n}.", attribute=CHANGE) for n in range(1, count + 1))


def test_the_newest_sentences_that_change_something_are_told_before_numbers() -> None:
    told = told_of(remembered(facts=(*changes(CHANGES + 2), *numbers(300))), max_facts=20)
    assert [one["text"] for one in told["facts"] if one.get("about") == CHANGE] == [
        f"Rather red than {n}." for n in range(3, CHANGES + 3)
    ]


def test_sentences_that_change_something_drive_out_no_preference() -> None:
    kept = tuple(fact(n, f"I like tea {n}.", kind="preference") for n in range(1, 13))
    told = told_of(remembered(facts=(*kept, *changes(60, after=100))), max_facts=15)
    assert {one.text for one in kept} <= set(texts_of(told))


def test_a_change_that_a_told_segment_has_leaves_its_place_to_another() -> None:
    old = changes(CHANGES + 1)
    told = told_of(remembered(f"12 user: {old[-1].text}", facts=(*old, *numbers(300))), max_facts=CHANGES)
    assert set(texts_of(told)) == {one.text for one in old[:-1]}


def test_what_replaced_something_is_told_before_numbers() -> None:
    facts = (fact(1, "On 3 March.", replaced_by=2, kind="date"), fact(2, "On 17 April.", kind="date"), *numbers(300))
    assert "On 17 April." in texts_of(told_of(remembered(facts=facts), max_facts=5))
