"""Extracts: the messages' own sentences, where no model gave anything better."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.summaries.extracts import SENTENCE_CHARS, extract_of, shorter
from services.worker.summaries.messages import SummarizedMessage
from tests.support.conversations import CONVERSATIONS
from tests.support.memory import said

CHAT = [
    said(1, "Hi. I live in Turku.\nMy budget is 12,500 euros, ok?"),
    said(2, "Good. What else do you want?", "assistant"),
    said(3, "The code is QX-11, write to a@example.org. So it is."),
]


def test_each_line_says_who_said_it_where_in_order() -> None:
    assert extract_of(CHAT, 1_000).splitlines() == [
        "1 user: Hi.",
        "1 user: I live in Turku.",
        "1 user: My budget is 12,500 euros, ok?",
        "2 assistant: Good.",
        "2 assistant: What else do you want?",
        "3 user: The code is QX-11, write to a@example.org.",
        "3 user: So it is.",
    ]


def test_where_there_is_little_room_the_users_statements_with_distinctive_words_stay() -> None:
    assert extract_of(CHAT, 85).splitlines() == [
        "1 user: I live in Turku.",
        "3 user: The code is QX-11, write to a@example.org.",
    ]


def test_a_statement_goes_before_a_question_and_the_user_before_the_assistant() -> None:
    messages = [said(1, "Is it red?"), said(2, "It is so.", "assistant"), said(3, "It is red.")]
    assert extract_of(messages, 20) == "3 user: It is red."
    assert extract_of(messages[:2], 20) == "1 user: Is it red?"


@pytest.mark.parametrize("mark", ["?", "\uff1f", "\u061f", ";"])
def test_a_question_is_known_by_its_mark_in_other_scripts_too(mark: str) -> None:
    assert extract_of([said(1, f"abc{mark}"), said(3, "abc.")], 14) == "3 user: abc."


def test_a_long_sentence_is_cut() -> None:
    line = extract_of([said(1, "word " * 1_000)], 2_000)
    assert line.startswith("1 user: word word")
    assert line.endswith("…")
    assert len(line) <= SENTENCE_CHARS + len("1 user: ")


@pytest.mark.parametrize("language", CONVERSATIONS)
def test_in_any_language_sentences_are_told_whole(language: str) -> None:
    messages = [said(n, text, "user" if n % 2 else "assistant") for n, text in enumerate(CONVERSATIONS[language][0], 1)]
    lines = extract_of(messages, 100_000).splitlines()
    for message in messages:
        begin = f"{message.position} {message.role}: "
        told = "".join(line.removeprefix(begin) for line in lines if line.startswith(begin))
        assert "".join(told.split()) == "".join(message.content.split())


def test_a_short_text_stays_as_it_is() -> None:
    assert shorter("One.  Two.\n", 20) == "One.  Two.\n"


def test_of_a_text_that_is_too_long_the_weightiest_sentences_stay_in_order() -> None:
    text = "It lies on the sea. " * 50 + "The code is QX-11. " + "It lies on the sea. " * 50
    lines = shorter(text, 100).splitlines()
    assert "The code is QX-11." in lines
    assert len("\n".join(lines)) <= 100


def test_a_line_of_an_extract_that_is_the_users_weighs_more() -> None:
    assert shorter("1 assistant: It is so and so.\n2 user: It is red.", 25) == "2 user: It is red."


messages = st.lists(st.tuples(st.text(max_size=300), st.sampled_from(["user", "assistant"])), max_size=6).map(
    lambda rows: [said(n, text, role) for n, (text, role) in enumerate(rows, start=1)]
)


@given(messages, st.integers(0, 400))
def test_an_extract_keeps_its_bound_and_the_order(chat: list[SummarizedMessage], most: int) -> None:
    extract = extract_of(chat, most)
    assert len(extract) <= most
    positions = [int(line.split(" ")[0]) for line in extract.split("\n") if line]
    assert positions == sorted(positions)
    assert extract_of(chat, most) == extract


@given(st.text(max_size=600), st.integers(0, 300))
def test_a_shorter_text_keeps_its_bound_and_says_nothing_new(text: str, most: int) -> None:
    short = shorter(text, most)
    assert len(short) <= most
    assert all(line.removesuffix("…") in text for line in short.split("\n")) or short == text


def test_what_changes_something_goes_before_other_statements() -> None:
    messages = [said(1, "We eat at nine."), said(3, "We eat at ten instead."), said(5, "We eat at home.")]
    assert extract_of(messages, 40) == "3 user: We eat at ten instead."
    assert shorter(extract_of(messages, 1_000), 40) == "3 user: We eat at ten instead."


def test_where_a_summary_is_merged_with_an_extract_its_sentences_weigh_as_the_users() -> None:
    text = "The launch moves to 17 April.\n3 user: Is it warm in Rome?\n4 assistant: It is, in Rome and in Oslo."
    assert shorter(text, 40) == "The launch moves to 17 April."
