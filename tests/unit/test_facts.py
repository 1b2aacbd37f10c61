"""Facts: what users said that a summary must not lose."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.summaries.facts import (
    MAX_PER_MESSAGE,
    SummarizedMessage,
    covers,
    facts_of,
    kept_facts,
    plain,
    tokens_in,
)
from services.worker.summaries.summarizer import at_sentence_end
from shared.memory.facts import FACT_MAX_CHARS, Fact, read_facts, write_facts


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("My budget is $12,500 for May 3rd.", ["$12,500", "May", "3rd"]),
        ("Write to anna.k@example.org, please.", ["anna.k@example.org"]),
        ("See https://example.com/a?b=1.", ["https://example.com/a?b=1"]),
        ("The project is called Blue Heron now.", ["Blue Heron"]),
        ("Blue Heron is the project.", ["Blue Heron"]),
        ("We decided on the smaller one.", []),
        ("Hello there. Thanks a lot.", []),
        ("My name is Zoë and I work at NASA.", ["Zoë", "NASA"]),
        ("The order is A4-7781-X.", ["A4-7781-X"]),
        ('He called it "the long way round".', ['"the long way round"']),
        ("It costs 12.50 € at 18:30.", ["12.50 €", "18:30"]),
        ("About t1 and 5k of abc12.", ["t1", "5k", "abc12"]),
        ("", []),
    ],
)
def test_what_is_distinctive_is_found(text: str, tokens: list[str]) -> None:
    assert [token.text for token in tokens_in(text)] == tokens


@pytest.mark.parametrize(
    ("summary", "token", "covered"),
    [
        ("The budget is 12500 dollars.", "12,500", True),
        ("The budget is 12,500.", "12500", True),
        ("It is 125000.", "12,500", False),
        ("anna lives there", "Anna", True),
        ("Annabel lives there", "Anna", False),
        ("It weighs 7.5 kg.", "5", False),
        ("It weighs 7.5 kg.", "7", False),
        ("It weighs 7.5.", "7.5", True),
        ("At 14:30, on 3/4.", "30", False),
        ("At 14:30, on 3/4.", "14:30", True),
        ("On 14.05.2027", "14.05", False),
        ("Of 5, 7 and 9.", "7", True),
        ("", "7", False),
    ],
)
def test_a_summary_has_a_token_however_it_is_written(summary: str, token: str, covered: bool) -> None:
    assert covers(plain(summary), token) is covered


def test_a_fact_is_the_sentence_around_what_the_summary_lacks() -> None:
    message = SummarizedMessage(7, "I like trains. My budget is 900 euros, for Anna and me. Anna is a vet.")
    facts = kept_facts((), [message], "The user likes trains and travels with Anna.", maximum=10)
    assert facts == (Fact("My budget is 900 euros, for Anna and me.", 7),)


def test_what_the_summary_has_come_to_say_is_a_fact_no_more_unless_pinned() -> None:
    known = (Fact("The budget is 900.", 1), Fact("It leaves at 18:30.", 3, pinned=True))
    assert kept_facts(known, [], "Budget 900, train at 18:30.", maximum=10) == known[1:]


def test_what_only_the_old_summary_said_is_not_lost_with_it() -> None:
    old = SummarizedMessage(20, "The user is Anna. She has 900 euros.")
    assert kept_facts((), [old], "Anna plans a trip.", maximum=10) == (Fact("She has 900 euros.", 20),)


def test_of_too_many_the_newest_stay_and_the_pinned_always() -> None:
    known = tuple(Fact(f"Number {n}00.", n, pinned=n == 1) for n in range(1, 8))
    assert [fact.position for fact in kept_facts(known, [], "", maximum=3)] == [1, 6, 7]
    assert [fact.position for fact in kept_facts(known, [], "", maximum=0)] == [1]


def test_the_same_sentence_said_again_is_one_fact_from_where_it_was_said_last() -> None:
    messages = [SummarizedMessage(1, "The code is K7-11."), SummarizedMessage(9, "the code is K7-11.")]
    assert [fact.position for fact in kept_facts((), messages, "", maximum=10)] == [9]


words = st.sampled_from(
    ["we", "go", "to", "Lisbon", "Anna", "k@example.org", "K7-11", '"so be it"', "then", "and", "."]
)
figures = st.sampled_from(["42", "$9.50", "$ 40", "9 €", "12%", "1,000", "3.5", "€", "18:30"])
texts = st.lists(words | figures, max_size=30).map(" ".join)
messages = st.lists(texts, max_size=8).map(
    lambda said: [SummarizedMessage(2 * number + 1, text) for number, text in enumerate(said)]
)


@given(messages, texts)
def test_every_distinctive_token_is_in_the_summary_or_in_a_fact(
    messages: list[SummarizedMessage], summary: str
) -> None:
    facts = kept_facts((), messages, summary, maximum=1000)
    everything = plain(" ".join([summary, *(fact.text for fact in facts)]))
    for message in messages:
        if len(facts_of(message, plain(summary))) < MAX_PER_MESSAGE:
            assert all(covers(everything, token.text) for token in tokens_in(message.text))


@given(st.lists(st.text(max_size=600), max_size=4), st.text(max_size=300), st.integers(0, 12))
def test_facts_are_bounded_ordered_and_always_the_same(said: list[str], summary: str, maximum: int) -> None:
    summarized = [SummarizedMessage(number, text) for number, text in enumerate(said, start=1)]
    facts = kept_facts((), summarized, summary, maximum=maximum)
    assert len(facts) <= maximum
    assert all(0 < len(fact.text) <= FACT_MAX_CHARS for fact in facts)
    positions = [fact.position or 0 for fact in facts]
    assert positions == sorted(positions)
    assert kept_facts((), summarized, summary, maximum=maximum) == facts


@pytest.mark.parametrize(
    "text", ["a" * 32_000, "A'" * 16_000, "a-" * 16_000, "1," * 16_000, '"a' * 16_000, "A b. " * 6_400, "x@" * 16_000]
)
def test_no_message_however_odd_takes_long(text: str) -> None:
    begin = time.process_time()
    kept_facts((), [SummarizedMessage(1, text)], "A summary of 12 words. " * 180, maximum=40)
    assert time.process_time() - begin < 2


@given(st.lists(st.builds(Fact, st.text(min_size=1, max_size=200), st.none() | st.integers(1, 9), st.booleans())))
def test_facts_are_stored_and_read_again(facts: list[Fact]) -> None:
    assert read_facts(write_facts(facts)) == tuple(facts)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("Short.", "Short."),
        ("One sentence here. And another one", "One sentence here."),
        ("no end in all of these many words", "no end in all of"),
    ],
)
def test_a_summary_that_is_too_long_ends_with_a_sentence(text: str, cut: str) -> None:
    assert at_sentence_end(text, 20) == cut
