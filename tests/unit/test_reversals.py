"""Sentences that change what was said are seen in many languages, and ordinary ones with the same words seldom are."""

from collections.abc import Mapping, Sequence

import pytest

from services.worker.summaries.facts import left_out
from services.worker.summaries.reversals import LONGEST, MOST, is_reversal, reversals_in
from shared.memory.facts import CHANGE, NewFact
from tests.support.memory import said
from tests.support.said_changes import CHANGES, CHANGES_LATER, ORDINARY, ORDINARY_LATER

Sentences = Mapping[str, Sequence[str]]


def share_of_seen(*tables: Sentences) -> float:
    """Which share of the sentences is taken for a reversal, each as a message."""
    sentences = [one for table in tables for of_language in table.values() for one in of_language]
    return sum(reversals_in(one) == [one] for one in sentences) / len(sentences)


def places(table: Sentences, first: int) -> dict[str, Sequence[str]]:
    return {language: sentences[first::2] for language, sentences in table.items()}


@pytest.mark.parametrize(
    ("changes", "ordinary", "least", "most"),
    [
        ([CHANGES, places(CHANGES_LATER, 0)], [ORDINARY, places(ORDINARY_LATER, 0)], 0.98, 0.06),
        ([places(CHANGES_LATER, 1)], [places(ORDINARY_LATER, 1)], 0.80, 0.28),
    ],
    ids=["seen", "held back"],
)
def test_most_reversals_are_seen_and_few_ordinary_sentences_with_their_words(
    changes: Sequence[Sentences], ordinary: Sequence[Sentences], least: float, most: float
) -> None:
    assert len({language for table in changes for language in table}) >= 14
    assert share_of_seen(*changes) >= least
    assert share_of_seen(*ordinary) <= most


def test_questions_long_sentences_and_texts_full_of_reversals_are_none() -> None:
    change = "We take the train after all."
    assert reversals_in(f"Good morning. {change} See you.") == [change]
    assert not is_reversal("Should we take the train after all?")
    assert not is_reversal(change.replace("train", "t" * LONGEST))
    assert reversals_in(f"{change} " * MOST) == [change] * MOST
    assert reversals_in(f"{change} " * (MOST + 1)) == []


def test_a_sentence_that_changes_something_is_kept_as_a_fact_though_the_summary_has_it() -> None:
    message = said(7, "Hello there. Al final la haremos amarilla.\nThanks!")
    (kept,) = left_out([message], message.content, [], [], [])
    assert (kept.text, kept.quote) == ("Al final la haremos amarilla.",) * 2
    assert (kept.kind, kept.attribute, kept.subject, kept.source) == ("other", CHANGE, "", "user")


def test_a_sentence_with_a_number_that_changes_something_is_kept_once() -> None:
    (kept,) = left_out([said(7, "The launch moves to 17 April.")], "", [], [], [])
    assert (kept.text, kept.attribute) == ("The launch moves to 17 April.", CHANGE)


def test_what_a_fact_says_is_not_kept_again_and_what_it_says_in_part_is() -> None:
    messages = [said(7, "We go with the barn after all.")]
    facts = [NewFact(7, None, "decision", quote, "user", quote=quote) for quote in ("We go with the barn", "the barn")]
    assert left_out(messages, "", facts[:1], [], []) == []
    assert [one.attribute for one in left_out(messages, "", facts[1:], [], [])] == [CHANGE]


def test_what_the_assistant_says_and_what_is_taken_back_changes_nothing() -> None:
    assert left_out([said(7, "We go with the barn after all.", "assistant")], "", [], [], []) == []
