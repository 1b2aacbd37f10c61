"""Texts as people see them: blank or not, cut between characters, and fit for a title."""

import time

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from shared.visible_text import as_title, cut, is_blank, short_title, without_hidden
from tests.support.texts import INVISIBLE

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
CLUSTERS = [
    FAMILY,
    "\U0001f1e9\U0001f1ea",
    "e\u0301\u0323",
    "\u0915\u094d\u0937\u093f",
    "\u1100\u1161\u11a8",
    SCOTLAND,
    "👍🏽",
]


@pytest.mark.parametrize("text", INVISIBLE.values(), ids=INVISIBLE)
def test_a_text_of_which_nothing_is_seen_is_blank_and_no_title(text: str) -> None:
    assert is_blank(text)
    assert as_title(text) == ""


@pytest.mark.parametrize("seen", ["a", "…", "?", "0", FAMILY, SCOTLAND, "\u0301", "\u0600", "한", "\u2801", "\ufffc"])
@pytest.mark.parametrize("around", INVISIBLE.values(), ids=INVISIBLE)
def test_one_character_that_is_seen_is_enough(seen: str, around: str) -> None:
    assert not is_blank(around + seen + around)
    assert seen in as_title(around + seen)


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_text_is_cut_between_characters_as_people_count_them(cluster: str) -> None:
    for limit in range(len(cluster), 4 * len(cluster)):
        assert cut(cluster * 4, limit) == cluster * (limit // len(cluster))
    assert short_title("a" * 78 + cluster + "b" * 9, 80) == "a" * 78 + ("…" if len(cluster) > 1 else cluster)


def test_a_character_that_is_longer_than_the_limit_is_cut_all_the_same() -> None:
    assert cut("z" + "\u0301" * 1_000, 80) == "z" + "\u0301" * 79


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Tides\u202e.exe", "Tides.exe"),
        ("\u2066Tides\u2069 \u2067and\u2069 moons", "Tides and moons"),
        ("bell\x07 escape\x1b[0m", "bell escape[0m"),
        ("one\r\ntwo\tthree\u2028four\x85five", "one two three four five"),
        ("hidden\U000e0069\U000e0067 words", "hidden words"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        (f"{FAMILY} and {SCOTLAND}", f"{FAMILY} and {SCOTLAND}"),
        (f"{SCOTLAND}\U000e0061{SCOTLAND}", SCOTLAND * 2),
        ("\U0001f3f4" + "\U000e0061" * 40 + "\U000e007f", "\U0001f3f4"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("❤\ufe0f", "❤\ufe0f"),
    ],
)
def test_a_title_has_nothing_that_turns_or_hides_text_and_keeps_what_spelling_needs(text: str, title: str) -> None:
    assert as_title(text) == title


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\n\ttwo\x00\x1b", "one\n\ttwo"),
        ("a" + "".join(chr(0xE0100 + byte) for byte in b"hidden") + "b", "ab"),
        ("葛\U000e0100城\U000e0101\U000e0102", "葛\U000e0100城\U000e0101"),
        ("soft\xad \u2060\ufeffjoined\u180e", "soft joined"),
        (f"{FAMILY}{SCOTLAND}❤\ufe0f", f"{FAMILY}{SCOTLAND}❤\ufe0f"),
    ],
)
def test_what_is_hidden_is_taken_out_of_a_text(text: str, shown: str) -> None:
    assert without_hidden(text) == shown


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(2, 90))
def test_a_title_is_short_on_one_line_and_made_once(text: str, limit: int) -> None:
    title = short_title(text, limit)
    assert len(title) <= limit
    assert title == " ".join(title.split())
    assert not regex.search(r"[\p{Cc}\u202a-\u202e\u2066-\u2069]", title)
    assert bool(title) == (not is_blank(text))
    assert as_title(title) == title


@pytest.mark.parametrize(
    "piece", ["\U000e0061", "\u202e", "\u200d", " ", "\u0301", "a\u202e", f"{SCOTLAND} ", FAMILY, "\x00 "]
)
@pytest.mark.parametrize("before", ["a", SCOTLAND, SCOTLAND[:-1], FAMILY])
def test_a_title_is_made_quickly_of_any_text(before: str, piece: str) -> None:
    text = before + piece * 32_000
    started = time.process_time()
    title = as_title(text)
    short = short_title(text, 80)
    assert time.process_time() - started < 0.5
    seen = "\U0001f3f4" if before == SCOTLAND[:-1] else before
    assert title.startswith(seen)
    assert short.startswith(seen)


def test_a_title_is_made_of_the_first_words_that_people_see() -> None:
    assert short_title("\u2060 " * 10_000 + "Tides and moons", 80) == "Tides and moons"
