"""A chat's title, from its first message."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.turns.queries import TITLE_CHARS, title_of
from shared.visible_text import as_title, is_blank

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"

texts = st.text() | st.lists(st.text(st.characters(categories=["L", "Zs"]), min_size=1)).map(" ".join)


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("Hello", "Hello"),
        ("  Hello \n\t world\r\n", "Hello world"),
        ("a" * 80, "a" * 80),
        ("a" * 81, "a" * 79 + "…"),
        ("word " * 30, "word " * 15 + "…"),
        ("Hi " + "a" * 100, "Hi…"),
        ("ü" * 40 + " " + "ü" * 60, "ü" * 40 + "…"),
        ("a" * 77 + FAMILY + "b" * 9, "a" * 77 + "…"),
        ("see \u202egnp.exe", "see gnp.exe"),
    ],
)
def test_a_title_is_the_messages_first_words(content: str, title: str) -> None:
    assert title_of(content).replace(" …", "…") == title.replace(" …", "…")


@given(texts)
def test_a_title_is_one_short_line(content: str) -> None:
    title = title_of(content)
    assert len(title) <= TITLE_CHARS
    assert title == " ".join(title.split())


@given(texts)
def test_a_title_says_nothing_that_the_message_does_not(content: str) -> None:
    line = as_title(content)
    title = title_of(content)
    assert title == line or line.startswith(title.removesuffix("…"))


@given(texts.filter(lambda text: not is_blank(text)))
def test_a_message_that_says_something_has_a_title(content: str) -> None:
    assert title_of(content).strip("…") or as_title(content).startswith("…")


def test_a_title_is_made_quickly_of_any_message() -> None:
    started = time.process_time()
    assert title_of("a" + "\U000e0061" * 32_000) == "a"
    assert time.process_time() - started < 1
