"""Where the rest of an answer begins, whatever the model repeats: nothing is shown twice, and nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.generations.seam import Seam, anchor_of

SAID = "Paris is the capital of France. It lies on the Seine, and it has about two million peop"
REST = "le. Many visit it."
WORDS = ["the", "tower", "is", "made", "of", "iron", "and", "stands", "in", "a", "city"]


def joined(said: str, added: str, *, by_prefill: bool = False, size: int = 3) -> tuple[str, bool]:
    """What is shown of `added`, which comes in pieces, and whether it needs a new paragraph."""
    seam = Seam(said, by_prefill=by_prefill)
    shown = "".join(seam.add(added[at : at + size]) for at in range(0, len(added), size)) + seam.end()
    return shown, seam.take_new_paragraph()


def shown_of(said: str, added: str, cuts: list[int], *, by_prefill: bool) -> str:
    """What is shown of `added`, which comes in pieces of these sizes; the last piece is the rest."""
    seam = Seam(said, by_prefill=by_prefill)
    shown, at = "", 0
    for cut in cuts:
        shown += seam.add(added[at : at + cut])
        at += cut
    return shown + seam.add(added[at:]) + seam.end()


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("added", "shown"),
    [
        (f"on the Seine, and it has about two million peop{REST}", REST),
        (f"{SAID}{REST}", REST),
        (f"It lies on the Seine, and it has about two million peop{REST}", REST),
        (f"Sure, here is the rest:\n\nIt lies on the Seine, and it has about two million peop{REST}", REST),
        (f'Certainly! The last words were "on the Seine, and it has about two million peop{REST}', REST),
        (f"> …on the Seine, and it has about two million peop{REST}", REST),
        (f"on the Seine, and it\nhas about  two million peop{REST}", REST),
        (f"peop{REST}", REST),
        (f"Sure, here is the rest:\n\npeop{REST}", REST),
        ("on the Seine, and it has about two million peop", ""),
        (SAID, ""),
        ("", ""),
        (", and so on.", ", and so on."),
        (" and so on.", " and so on."),
    ],
)
def test_a_repetition_is_never_shown(added: str, shown: str, size: int) -> None:
    assert joined(SAID, added, size=size) == (shown, False)


@pytest.mark.parametrize(
    ("said", "added", "is_whole", "shown"),
    [
        (SAID, "Sure, here is the rest of the answer:\n\n", True, ""),
        (f"{SAID}le.", "Here's the continuation:", True, ""),
        (SAID, "Sure, here is the rest of the answer:\n\n", False, "Sure, here is the rest of the answer:\n\n"),
        (
            "I can help. ",
            "Let me look up the weather in Rome first:",
            True,
            "Let me look up the weather in Rome first:",
        ),
        ("try:\n    f()\n", "Finally:", True, "Finally:"),
        ("我来", "查一下天气:", True, "查一下天气:"),
        ("In short", "Newton's second law is F = m a:", True, "Newton's second law is F = m a:"),
    ],
)
def test_an_announcement_of_nothing_is_not_shown(said: str, added: str, is_whole: bool, shown: str) -> None:
    seam = Seam(said, by_prefill=False)
    assert "".join(map(seam.add, added)) + seam.end(is_whole=is_whole) == shown


@pytest.mark.parametrize(
    "added",
    [
        "The French capital, Paris, is a city of two million at the river Seine.",
        "Paris ist die Hauptstadt von Frankreich und liegt an der Seine.",
        "巴黎是法国的首都。",
        "I can't help with that.",
    ],
    ids=["in other words", "in another language", "in another script", "a refusal"],
)
@pytest.mark.parametrize("said", [SAID, f"{SAID}le.", f"{SAID}le.\n\n"])
def test_what_does_not_go_on_gets_a_paragraph_of_its_own(said: str, added: str) -> None:
    assert joined(said, added) == (added, True)


@pytest.mark.parametrize(
    ("said", "added", "shown"),
    [
        ("t1 t2 t3 ", "t4 t5 ", "t4 t5 "),
        ("t1 t2 t3 ", "t1 t2 t3 t4 t5 ", "t4 t5 "),
        ("I have a", "dog.", " dog."),
        ("I have a", " dog.", " dog."),
        ("It costs 5", "€ in all.", "€ in all."),
        ("t1 t2 t3 ", "t3 t4 t5 ", "t4 t5 "),
        ("This is so", "so far away.", " far away."),
        ("巴黎是法国的首都。它位于塞纳河畔", "人口约二百万。", "人口约二百万。"),
        ("巴黎是法国的首都。它位于塞纳河畔", "它位于塞纳河畔人口约二百万。", "人口约二百万。"),
        ("Париж — столица", "страны.", " страны."),
        ("Lists:\n\n- one\n- two\n", "- three\n- four\n", "- three\n- four\n"),
    ],
)
def test_what_goes_on_is_joined_as_it_reads(said: str, added: str, shown: str) -> None:
    assert joined(said, added) == (shown, False)


def test_a_beginning_of_another_word_is_no_repetition() -> None:
    assert joined("Then I", "It was late.") == ("It was late.", True)


def test_a_sentence_in_the_same_words_goes_on() -> None:
    said = "The tower is made of iron. It is the highest building of the city, and the oldest of its kind."
    added = "The river is below it, and the city around it can be seen from the third floor of the tower."
    assert joined(said, added) == (f" {added}", False)


LONG = "Sure! " + " ".join(f"Sentence number {n} tells something about thing {7 * n}." for n in range(30))


@pytest.mark.parametrize(
    "again",
    [
        LONG,
        LONG.removeprefix("Sure! "),
        f"Here is the whole answer again:\n\n{LONG}",
        f"**Answer:** {LONG.removeprefix('Sure! ')}",
        LONG[LONG.index("number 20") :],
        LONG[LONG.index("Sentence number 9") :],
    ],
    ids=["all", "without its first word", "behind a preamble", "behind a label", "a third", "two thirds"],
)
def test_a_long_repetition_is_not_shown_either(again: str) -> None:
    rest = " And this is the end."
    assert joined(LONG, again + rest, size=7) == (rest, False)
    assert joined(LONG, again, size=7) == ("", False)


def test_a_prefill_that_is_said_again_without_its_first_word_is_not_shown_again() -> None:
    assert joined(LONG, LONG.removeprefix("Sure! ") + " End.", by_prefill=True) == (" End.", False)


TABLE = "| Name | State |\n|---|---|\n| Anna | has not been paid |\n| Bert | has not been paid |\n"
ROWS = "| Carl | has not been paid |\n| Dora | has been paid |\n| Emil | has not been paid |\n"
STANZA = "The sea is wide,\nthe sea is deep,\nand all the sailors go to sleep.\n\n"
NEXT_STANZA = "The wind is cold,\nthe wind is strong,\nand all the sailors go to sleep.\n\nEnd."
CODE = "def one(arg):\n    return compute_value(arg)\n"
NEXT_CODE = "def two(arg):\n    return compute_value(arg)\n"


@pytest.mark.parametrize(
    ("said", "added"), [(TABLE, ROWS), (STANZA, NEXT_STANZA), (CODE, NEXT_CODE)], ids=["table", "poem", "code"]
)
def test_new_text_that_ends_like_the_old_is_shown_whole(said: str, added: str) -> None:
    assert joined(said, added)[0] == added


def test_text_is_held_back_no_longer_than_a_repetition_may_last() -> None:
    seam = Seam(SAID, by_prefill=False)
    assert seam.add("X" * 400) == "X" * 400
    assert seam.add("more") == "more"


@pytest.mark.parametrize("added", ["le.", "Paris", " Paris is big.", "\n\nParis is the capital of Italy"])
def test_the_continuation_of_a_prefill_is_shown_as_it_is(added: str) -> None:
    may_begin_again = added[:3].strip() in SAID
    assert Seam(SAID, by_prefill=True).add(added[:3]) == ("" if may_begin_again else added[:3])
    assert joined(SAID, added, by_prefill=True) == (added, False)


def test_a_prefill_that_the_model_says_again_is_not_shown_again() -> None:
    assert joined(SAID, SAID + REST, by_prefill=True) == (REST, False)
    assert joined(SAID, SAID, by_prefill=True) == ("", False)


@given(
    said=st.text(min_size=1, max_size=300).filter(str.strip),
    added=st.text(max_size=300),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=20),
    by_prefill=st.booleans(),
)
def test_what_is_shown_is_the_end_of_what_the_model_said(
    said: str, added: str, cuts: list[int], *, by_prefill: bool
) -> None:
    shown = shown_of(said, added, cuts, by_prefill=by_prefill)
    assert added.rstrip().endswith(shown.strip()) or added.endswith(shown.lstrip())


@given(
    said=st.text("abcdefghijklm \n", min_size=1, max_size=300).filter(str.strip),
    added=st.text("nopqrstuvwxyzNOP.,!? \n", max_size=300),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=20),
    by_prefill=st.booleans(),
)
def test_a_text_with_no_word_of_what_was_said_is_shown_whole(
    said: str, added: str, cuts: list[int], *, by_prefill: bool
) -> None:
    assert shown_of(said, added, cuts, by_prefill=by_prefill).strip() == added.strip()


@given(
    words=st.lists(
        st.sampled_from(["the", "tower", "is", "made", "of", "iron", "and", "stands", "in", "a", "city"]),
        min_size=30,
        max_size=60,
    ),
    at=st.integers(10, 29),
)
def test_whoever_begins_with_the_last_words_makes_no_seam(words: list[str], at: int) -> None:
    words = [f"{word}{number}" for number, word in enumerate(words)]
    text, said = " ".join(words), " ".join(words[:at])
    added = anchor_of(said) + text[len(said) :]
    assert said + joined(said, added)[0] == text
